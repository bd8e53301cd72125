"""DPO with the likelihood of a rationale of the preference."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from alignlab.errors import one_of
from alignlab.losses.pairs.dpo import dpo
from alignlab.objective.numeric import PerPair
from alignlab.settings import NonNegative
from alignlab.types import Reports


def rationale_dpo(
    chosen_logratios: Float[Tensor, "P"],
    rejected_logratios: Float[Tensor, "P"],
    rationale_logps: Float[Tensor, "P"],
    *,
    beta: PerPair = 0.1,
    gamma: NonNegative = 0.1,
    form: str = "nll",
) -> tuple[Float[Tensor, "P"], Reports]:
    """Rationale-augmented DPO, arXiv:2407.14477 eq. 4.

    `dpo` - gamma * log policy(rationale | prompt, both responses), in nats, sum over the rationale's
    tokens.

    `form="logsigmoid"` is the released code's `dpo` - log sigmoid(gamma * log policy), whose slope is at
    most gamma. With gamma = 0 the paper's form is `dpo`. Every pair of a list counts its rationale.

    Reports `rationale_nll`, -log policy of the rationale, in nats.

    >>> import torch
    >>> rationale_dpo(torch.tensor([0.5]), torch.tensor([-0.5]), torch.tensor([-45.0]), gamma=0.01)
    (tensor([1.0944]), {'rationale_nll': tensor([45.])})
    """
    rationale = gamma * rationale_logps
    if one_of("form", form, ("nll", "logsigmoid")) == "logsigmoid":
        rationale = F.logsigmoid(rationale)
    losses = dpo(chosen_logratios, rejected_logratios, beta=beta) - rationale
    return losses, {"rationale_nll": -rationale_logps}
