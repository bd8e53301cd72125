"""From the folder of a policy to a server that runs until it is told to end."""

from pathlib import Path
from typing import Any

import torch
from fastapi import FastAPI
from uvicorn import Config, Server

from alignlab.errors import ConfigError
from alignlab.policies.causal_lm.pretrained import Dtype
from alignlab.policies.load import LoadedPolicy, load_policy
from alignlab.sampling.in_process import InProcess
from alignlab.serving import completions, scores, weights
from alignlab.serving.app import Desk, app_of
from alignlab.serving.waiting import Queue

LOG = "warning"


def load_for_serving(folder: Path, dtype: Dtype, device: str | None) -> LoadedPolicy:
    """Load a policy onto a device, the first GPU where there is one; raises ConfigError where it cannot be there."""
    loaded = load_policy(folder, dtype=dtype)
    place = device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        loaded.policy.to(place)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"device={place}: {error}") from error
    loaded.policy.eval()
    return loaded


def application(
    loaded: LoadedPolicy,
    name: str,
    *,
    at_once: int = 64,
    waiting: int = 1024,
    timeout: float = 60.0,
    updates: bool = False,
) -> FastAPI:
    """Return the application that serves a policy: scores where it gives values or preferences, else completions.

    Raises ConfigError for `updates` of a policy that draws nothing.
    """
    model = loaded.policy.model
    length = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if not loaded.policy.draws:
        if updates:
            raise ConfigError("updates=true: this model gives scores, whose weights stay as they are")
        scoring = scores.Scoring(loaded, length)
        desk = Desk(name, length, Queue(scoring, at_once=at_once, most=waiting), timeout)
        return app_of(desk, scores.routes(desk, scoring))
    sampler = InProcess(model, sorted(loaded.encoder.stops), rows=at_once)
    drawing = completions.Drawing(sampler, loaded.tokenizer, length)
    desk = Desk(name, length, Queue(drawing, at_once=at_once, most=waiting), timeout)
    controls = [weights.routes(desk, drawing)] if updates else []
    return app_of(desk, completions.routes(desk, drawing), *controls)


def server_of(app: Any, host: str, port: int, timeout: float) -> Server:
    """Return a server, which gives requests under way so many seconds when it is told to end."""
    return Server(
        Config(app, host=host, port=port, log_level=LOG, timeout_graceful_shutdown=max(1, round(timeout)))
    )
