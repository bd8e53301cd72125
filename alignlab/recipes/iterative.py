"""Iterative preference optimization: rounds that each take their own part of the prompts."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

from alignlab.errors import one_of
from alignlab.recipes.stage_spec import StageSpec
from alignlab.recipes.words import START, pipeline_of
from alignlab.settings import whole


def iterative(
    pipeline: Sequence[str],
    *,
    rounds: Annotated[int, whole(1, 100)] = 3,
    reference: str = "previous",
    collect: Mapping[str, Any] | None = None,
) -> Iterator[StageSpec]:
    """Yield rounds, each of which continues from the result of the round before on a part of the data of its own.

    `reference` is the model of the round before (`previous`) or the run's own (`initial`). With
    `collect`, a `_target_` and its options, a round takes the prompts of its part alone, and
    `collect(model, tokenizer, prompts, split=..., seed=..., **options)` answers them: it gives the
    examples that the round trains on.
    """
    refers = START[one_of("recipe.reference", reference, START)]
    for part in range(1, rounds + 1):
        overrides = (
            pipeline_of(pipeline, "stepwise"),
            "pipeline.stepwise.by=equal",
            f"pipeline.stepwise.of={rounds}",
            f"pipeline.stepwise.part={part}",
        )
        yield StageSpec(f"round{part}", overrides, reference=refers, own_rows=True, collect=collect)
