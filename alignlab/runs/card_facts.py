"""The README of a trained model, from the config and the manifest of its run."""

import shlex
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from alignlab.runs.export import Trained, model_card

NONE: Mapping[str, float] = MappingProxyType({})


def card(
    config: Mapping[str, Any],
    base: Mapping[str, Any],
    manifest: Mapping[str, Any],
    *,
    task: str,
    steps: int,
    initial: Mapping[str, float] = NONE,
    final: Mapping[str, float] = NONE,
) -> str:
    """The model card of a run.

    `base` is the `model` that the run began with, `task` the policy's; `initial` and `final` are metrics, where they
    are known.
    """
    loss, data = config["objective"]["loss"], config["data"]
    told = Trained(
        task=task,
        objective=config["objective"]["name"],
        hyper={key: value for key, value in loss.items() if key != "_target_"},
        terms=[*config["regularizers"], *config["modifiers"]],
        data=list(data.get("parts") or [data["name"]]),
        pipeline=list(config["pipeline"]),
        base=base.get("path") or base["name"],
        steps=steps,
        command=shlex.join(["python", "train.py", *manifest.get("overrides", ())]),
        initial=initial,
        final=final,
        versions=manifest.get("versions", {}),
    )
    return model_card(told)
