"""sDPO, arXiv:2403.19270: the data in parts, and each part's result is the next one's start and reference."""

from collections.abc import Iterator, Sequence
from typing import Annotated

from alignlab.errors import one_of
from alignlab.recipes.stage_spec import StageSpec
from alignlab.recipes.words import MODELS, pipeline_of
from alignlab.settings import whole


def stepwise(
    pipeline: Sequence[str],
    *,
    steps: Annotated[int, whole(1, 100)] = 2,
    by: str = "reward_accuracy",
    order: str | None = None,
    init: str = "previous",
    reference: str = "previous",
) -> Iterator[StageSpec]:
    """Yield one stage for each part of the data, with an optimizer and a schedule of its own.

    `by` and `order` say how the data is cut, as the pipeline step `stepwise` does, and which part comes first.
    The second version of the paper goes from easy to hard: it sorts by reward accuracy under the run's first
    model. `reward_accuracy` does so row by row, by margins without a reference, since its own log-ratios are
    0, and cuts the rows into equal parts; `source` makes one part a source, as the paper does, and sorts
    these. `equal` parts are drawn at random, and ask no model. `init=base` starts each step from the run's
    first model, as the paper's ablation does; `reference=base` keeps it as the reference. No row is trained
    on in two steps.
    """
    for key, value in (("init", init), ("reference", reference)):
        one_of(f"recipe.{key}", value, MODELS)
    cut = (
        f"pipeline.stepwise.of={steps}",
        f"pipeline.stepwise.by={by}",
        f"pipeline.stepwise.order={order or 'null'}",
    )
    for part in range(1, steps + 1):
        overrides = (pipeline_of(pipeline, "stepwise"), *cut, f"pipeline.stepwise.part={part}")
        yield StageSpec(f"step{part}", overrides, init=init, reference=reference, own_rows=True)
