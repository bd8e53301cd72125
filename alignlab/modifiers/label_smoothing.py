"""Label smoothing: labels that may be wrong, by the loss of both orders."""

from jaxtyping import Float
from torch import Tensor

from alignlab.objective.modified import Loss
from alignlab.settings import ErrorRate


def label_smoothing(loss: Loss, *, epsilon: ErrorRate = 0.1) -> Float[Tensor, "P"]:
    """Label smoothing, a note that follows arXiv:2305.18290: any pairwise loss for labels that may be wrong.

    (1 - epsilon) * loss(chosen, rejected) + epsilon * loss(rejected, chosen), where epsilon in [0, 0.5]
    is how often a label is wrong.

    The objective `cdpo` is `dpo` under this modifier: its best margin is finite,
    beta * h = logit(1 - epsilon).
    """
    return (1 - epsilon) * loss() + epsilon * loss.swapped()
