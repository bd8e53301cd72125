"""XPO: online DPO that is drawn away from what the reference would say, and so explores."""

import torch
from jaxtyping import Float
from torch import Tensor

from alignlab.losses.pairs.dpo import dpo
from alignlab.objective.numeric import PerPair
from alignlab.settings import NonNegative
from alignlab.types import Reports


def xpo(
    chosen_logps: Float[Tensor, "P"],
    rejected_logps: Float[Tensor, "P"],
    chosen_ref_logps: Float[Tensor, "P"],
    rejected_ref_logps: Float[Tensor, "P"],
    chosen_from_reference: Float[Tensor, "P"],
    rejected_from_reference: Float[Tensor, "P"],
    *,
    beta: PerPair = 0.1,
    alpha: NonNegative = 0.01,
) -> tuple[Float[Tensor, "P"], Reports]:
    """Exploratory preference optimization, arXiv:2405.21046.

    DPO + alpha * log-probability of the response that the reference drew, summed over its tokens, whichever side it is.

    That likelihood is minimized, which holds the policy to responses the reference would not give. A pair without such
    a response is DPO, and so is alpha = 0.

    Reports `from_reference`, the mean log-probability of the reference's responses, in nats, and `optimism`, the share
    of the likelihood term in what the loss asks of both log-probabilities: alpha / (alpha + 2 beta sigmoid(-m)), the
    absolute slopes over them, with m the margin of DPO.
    """
    drawn = chosen_from_reference * chosen_logps + rejected_from_reference * rejected_logps
    counts = chosen_from_reference + rejected_from_reference
    preference = dpo(chosen_logps - chosen_ref_logps, rejected_logps - rejected_ref_logps, beta=beta)
    pull = 2 * beta * -torch.expm1(-preference.detach())  # sigmoid(-m) = 1 - exp(-DPO)
    share = counts * alpha / (alpha + pull) if alpha else torch.zeros_like(pull)
    return preference + alpha * drawn, {"from_reference": (drawn, counts), "optimism": (share, counts)}
