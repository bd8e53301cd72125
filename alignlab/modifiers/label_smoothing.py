"""Labels that may be wrong: the loss of both orders."""

from jaxtyping import Float
from torch import Tensor

from alignlab.objective.modified import Loss
from alignlab.objective.numeric import expect


def label_smoothing(loss: Loss, *, epsilon: float = 0.1) -> Float[Tensor, "P"]:
    """The loss of both orders, for labels that may be wrong.

    (1 - epsilon) * loss(chosen, rejected) + epsilon * loss(rejected, chosen), where epsilon in [0, 0.5]
    is how often a label is wrong. On `dpo` it is `cdpo`.

    Raises ConfigError on an epsilon outside [0, 0.5].
    """
    expect(0 <= epsilon <= 0.5, "epsilon", epsilon, "a rate of wrong labels in [0, 0.5]")
    return (1 - epsilon) * loss() + epsilon * loss.swapped()
