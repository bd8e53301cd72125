"""Reward models on the same rows in other orders, then one on rows whose labels they have judged: arXiv:2401.06080."""

from collections.abc import Iterator, Sequence
from typing import Annotated

from alignlab.errors import one_of
from alignlab.recipes.stage_spec import StageSpec
from alignlab.recipes.words import pipeline_of
from alignlab.settings import NonNegative, Share, whole

WEAK = ("flip", "smooth", "drop", "keep")


def ensemble(
    pipeline: Sequence[str],
    *,
    members: Annotated[int, whole(2, 100)] = 5,
    weak: str = "flip",
    below: NonNegative = 0.0,
    alpha: Share = 0.1,
    margin: bool = True,
) -> Iterator[StageSpec]:
    """Yield `members` stages that start from the same model and see the same rows in other orders, then a stage `last`.

    The last stage sees the rows with the margins of all members: pairs whose mean margin is below `below` have their
    labels flipped, smoothed by the share `alpha`, are dropped or kept, as `weak` says; with `margin` the gap of the
    labels is the mean margin, where that is above 0, and the objective is `bt_margin`.
    """
    one_of("recipe.weak", weak, WEAK)
    for number in range(1, members + 1):
        yield StageSpec(f"member{number}", (f"data.shuffle_seed={number}",), init="base", reference="base")
    steps = [name for name in pipeline if name not in ("reward_margins", "label_transform")]
    yield StageSpec(
        "last",
        (
            pipeline_of(
                steps if "pairs" in steps else [*steps, "pairs"], "reward_margins", "label_transform"
            ),
            "pipeline.label_transform.to=strength",
            f"pipeline.label_transform.weak={weak}",
            f"pipeline.label_transform.below={below}",
            f"pipeline.label_transform.alpha={alpha}",
            *(
                ("pipeline.label_transform.margin=true", "objective=bt_margin", "data.scale=keep")
                if margin
                else ()
            ),
        ),
        init="base",
        reference="base",
        judged=True,
    )
