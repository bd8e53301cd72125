"""Length as an offset: how a length regularizer can act on fixed responses."""

from jaxtyping import Float
from torch import Tensor


def length(lengths: Float[Tensor, "B K"]) -> Float[Tensor, "B K"]:
    """Tokens of each response, as an offset.

    weight * length nats join the log-ratio of each response before the loss sees it. A longer chosen
    response then looks already preferred and earns less gradient. It is R-DPO (arXiv:2403.19159
    eq. 9) with alpha = beta * weight.
    """
    return lengths
