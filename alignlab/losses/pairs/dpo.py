"""Direct preference optimization, the pairwise logistic loss that most others build on."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from alignlab.objective.numeric import PerPair


def dpo(
    chosen_logratios: Float[Tensor, "P"], rejected_logratios: Float[Tensor, "P"], *, beta: PerPair = 0.1
) -> Float[Tensor, "P"]:
    """Direct preference optimization, arXiv:2305.18290 eq. 7.

    -log sigmoid(beta * (chosen_logratio - rejected_logratio))

    >>> import torch
    >>> dpo(torch.tensor([0.5]), torch.tensor([-0.5]), beta=0.1)
    tensor([0.6444])
    """
    return -F.logsigmoid(beta * (chosen_logratios - rejected_logratios))
