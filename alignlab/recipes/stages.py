"""The recipe whose stages are written out in the config."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from alignlab.errors import ConfigError, nearest
from alignlab.recipes.stage_spec import StageSpec
from alignlab.settings import FolderName, Text, misfits

KEYS = [field.name for field in fields(StageSpec)]


@dataclass(frozen=True)
class Written:
    """The schema of a stage that is written out."""

    name: FolderName
    overrides: list[str] | None = None
    init: Text = "previous"
    reference: Text = "previous"
    own_rows: bool = False
    collect: Mapping[str, Any] | None = None


def stages(pipeline: Sequence[str], *, stages: Sequence[Mapping[str, Any]] = ()) -> Iterator[StageSpec]:
    """Yield each of `stages` as it is written: name, overrides, init, reference, own_rows, collect.

    Raises ConfigError where there is none, or one has no name, a key that stages do not have, or a wrong value.
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
        if wrong := list(misfits(stage, Written, where)):
            raise ConfigError("\n".join(wrong))
        yield StageSpec(**{**stage, "overrides": tuple(stage.get("overrides") or ())})
