"""Texts as unit vectors, whose inner products say how alike they are: by a language model's states, or an encoder."""

import importlib.util
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from alignlab.errors import ConfigError
from alignlab.policies.causal_lm.decoder import decoder_of
from alignlab.policies.load import LoadedPolicy
from alignlab.sampling.in_process import evaluating

AT_ONCE = 2**20
"""The number of values of hidden states that are in memory at once, in each layer, for texts that are read together."""


@torch.no_grad()
def pooled(loaded: LoadedPolicy, texts: Sequence[str]) -> np.ndarray:
    """Return the mean final hidden state of each text, `[texts, width]`; texts are read in groups of one length."""
    model, out = loaded.policy.model, [np.zeros(0)] * len(texts)
    config = model.config.get_text_config()
    most = getattr(config, "max_position_embeddings", None)
    encoded = [loaded.tokenizer(text or " ", add_special_tokens=True)["input_ids"][:most] for text in texts]
    device = next(model.parameters()).device
    groups: dict[int, list[int]] = {}
    for place, ids in enumerate(encoded):
        groups.setdefault(len(ids), []).append(place)
    with evaluating(model):
        for length, places in groups.items():
            step = max(1, AT_ONCE // (max(length, 1) * config.hidden_size))
            for start in range(0, len(places), step):
                some = places[start : start + step]
                rows = torch.tensor([encoded[place] for place in some], device=device)
                states = decoder_of(model)(input_ids=rows, use_cache=False).last_hidden_state
                means = torch.nn.functional.normalize(states.double().mean(1), dim=-1).cpu().numpy()
                for place, vector in zip(some, means, strict=True):
                    out[place] = vector
    return np.stack(out)


def encoded(encoder: str, texts: Sequence[str], key: str) -> np.ndarray:
    """Return the vectors of an encoder of sentence-transformers, `[texts, width]`; `key` is its setting, for messages.

    Raises ConfigError where it cannot be loaded.
    """
    for problem in missing_encoder(key):
        raise ConfigError(problem)
    return np.asarray(_encoder(encoder, key).encode([*texts], normalize_embeddings=True), dtype=np.float64)


def missing_encoder(key: str) -> Iterator[str]:
    """Yield a message where the package of encoders is not installed."""
    if importlib.util.find_spec("sentence_transformers") is None:
        yield (
            f"{key} needs sentence-transformers, which is not installed: pip install 'alignlab[embed]', or leave it "
            "out to embed by a language model"
        )


@lru_cache(1)
def _encoder(name: str, key: str) -> Any:
    from sentence_transformers import SentenceTransformer  # type: ignore[import-not-found]

    try:
        return SentenceTransformer(name)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{key}={name}: {error}") from error
