"""Supervised fine-tuning on the best responses, then the preference stage from that model."""

from collections.abc import Iterator, Sequence

from alignlab.errors import one_of
from alignlab.recipes.stage_spec import StageSpec
from alignlab.recipes.words import MODELS

ALONE = ("objective=supervised", "regularizers=[]", "modifiers=[]", "reference=none")
"""The overrides that make a stage train on the negative log-likelihood and nothing else."""


def sft_then(pipeline: Sequence[str], *, reference: str = "previous") -> Iterator[StageSpec]:
    """Yield a stage `sft` on the best response of each list, then a stage `preference` with the run's objective.

    Both see the same rows. The fine-tuned model is the reference too, unless `reference=base`.
    """
    one_of("recipe.reference", reference, MODELS)
    yield StageSpec("sft", ALONE)
    yield StageSpec("preference", reference=reference)
