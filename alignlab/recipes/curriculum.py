"""Curry-DPO, arXiv:2403.07230: the pairs of each rated list from easy to hard, in stages or in one ordered run."""

from collections.abc import Iterator, Sequence
from typing import Annotated

from alignlab.errors import one_of
from alignlab.recipes.stage_spec import StageSpec
from alignlab.recipes.words import START, pipeline_of
from alignlab.settings import whole


def curriculum(
    pipeline: Sequence[str],
    *,
    stages: Annotated[int, whole(1, 100)] = 3,
    by: str = "rating",
    scope: str = "prompt",
    reverse: bool = False,
    iterative: bool = True,
    reference: str = "previous",
) -> Iterator[StageSpec]:
    """Yield stages that train on the best response of each list against the others, pairs with a large gap first.

    `by` says what gap: of the `rating`, or of the log-probabilities under the `reference`; `scope`
    whether each `prompt` gives its k-th easiest pair to stage k, or all pairs are sorted together
    (`global`) and cut in `stages`. Iterative: a stage starts from the result of the one before, and
    `reference` is that (`previous`) or the run's own (`initial`). Else one run in that order.
    """
    refers = START[one_of("recipe.reference", reference, START)]
    settings = (
        pipeline_of([name for name in pipeline if name != "curry_pairs"], "curry"),
        f"pipeline.curry.by={by}",
        f"pipeline.curry.scope={scope}",
        f"pipeline.curry.reverse={str(reverse).lower()}",
        f"pipeline.curry.of={stages}",
    )
    if not iterative:
        yield StageSpec("curriculum", (*settings, "pipeline.curry.stage=null"), reference="base")
        return
    for stage in range(1, stages + 1):
        overrides = (*settings, f"pipeline.curry.stage={stage}")
        yield StageSpec(f"stage{stage}", overrides, reference=refers, own_rows=True)
