"""Identity preference optimization: a squared loss with a finite best margin."""

from jaxtyping import Float
from torch import Tensor

from alignlab.errors import one_of
from alignlab.objective.numeric import per_token
from alignlab.settings import PositiveNumber
from alignlab.types import Reports


def ipo(
    chosen_logratios: Float[Tensor, "P"],
    rejected_logratios: Float[Tensor, "P"],
    chosen_lengths: Float[Tensor, "P"],
    rejected_lengths: Float[Tensor, "P"],
    *,
    tau: PositiveNumber = 0.1,
    aggregate: str = "mean",
) -> tuple[Float[Tensor, "P"], Reports]:
    """Identity preference optimization, arXiv:2310.12036 eq. 17.

    (h - 1 / (2 tau))^2, where h = chosen_logratio - rejected_logratio.

    The paper sums log-ratios over tokens (`aggregate="sum"`); the authors later confirmed the mean over
    tokens, which is the default.

    Reports `target_gap`, the distance of h from its target 1 / (2 tau).

    >>> import torch
    >>> one = torch.ones(1)
    >>> ipo(0.5 * one, -0.5 * one, one, one, tau=0.1)
    (tensor([16.]), {'target_gap': tensor([4.])})
    """
    if one_of("aggregate", aggregate, ("mean", "sum")) == "mean":
        chosen_logratios = per_token(chosen_logratios, chosen_lengths)
        rejected_logratios = per_token(rejected_logratios, rejected_lengths)
    gaps = chosen_logratios - rejected_logratios - 1 / (2 * tau)
    return gaps.square(), {"target_gap": gaps.abs()}
