"""The recipe whose stages are written out in the config."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

from alignlab.errors import ConfigError, nearest
from alignlab.recipes.stage_spec import StageSpec

KEYS = [field.name for field in fields(StageSpec)]


def stages(pipeline: Sequence[str], *, stages: Sequence[Mapping[str, Any]] = ()) -> Iterator[StageSpec]:
    """Yield each of `stages` as it is written: name, overrides, init, reference, own_rows, collect.

    Raises ConfigError where there is none, or one has no name or a key that stages do not have.
    """
    if not stages:
        raise ConfigError(
            "recipe.stages is empty: list the stages, recipe.stages=[{name: first, overrides: [objective=dpo]}, ...]"
        )
    for number, stage in enumerate(stages, start=1):
        where = f"recipe.stages, stage {number}"
        if not isinstance(stage, Mapping) or not stage.get("name"):
            raise ConfigError(f"{where}: expected name, overrides, init, reference; found {stage}")
        for key in stage:
            if key not in KEYS:
                raise ConfigError(f"{where}: no such key '{key}': {nearest(key, KEYS)}")
        yield StageSpec(**{**stage, "overrides": tuple(stage.get("overrides") or ())})
