"""Length as an offset: how a length regularizer can act on fixed responses."""

from jaxtyping import Float
from torch import Tensor


def length(lengths: Float[Tensor, "B K"]) -> Float[Tensor, "B K"]:
    """Length of each response in tokens, `[B, K]`, as an offset of its log-probability.

    weight * length nats join the log-ratio of each response before the loss sees it.

    A longer chosen response then looks already preferred and earns less gradient. On `dpo` this is R-DPO
    (arXiv:2403.19159 eq. 9) with alpha = beta * weight.
    """
    return lengths
