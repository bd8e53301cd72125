"""The likelihood of the reason of a preference."""

from jaxtyping import Float
from torch import Tensor


def rationale(rationale_logps: Float[Tensor, "B"]) -> Float[Tensor, "B"]:
    """Negative log-likelihood of each list's rationale, in nats, sum over its tokens: arXiv:2407.14477 eq. 4.

    -log policy(rationale | prompt, both responses), without a reference. Beside `dpo` it makes `rationale_dpo` with
    gamma as its weight (where each list has one pair), beside `orpo` the paper's RORPO; it takes any other loss too.
    """
    return -rationale_logps
