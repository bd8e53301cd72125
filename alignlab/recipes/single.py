"""The recipe of a plain run: one stage."""

from collections.abc import Iterator, Sequence

from alignlab.recipes.stage_spec import StageSpec


def single(pipeline: Sequence[str]) -> Iterator[StageSpec]:
    """Yield the one stage of a plain run, which is the run itself, in the run folder."""
    yield StageSpec("", init="base", reference="base")
