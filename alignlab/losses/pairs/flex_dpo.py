"""Flex-DPO: chosen and rejected response have a beta each."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from alignlab.settings import NonNegative, PositiveNumber


def flex_dpo(
    chosen_logratios: Float[Tensor, "P"],
    rejected_logratios: Float[Tensor, "P"],
    *,
    beta_plus: PositiveNumber = 0.1,
    beta_minus: NonNegative = 0.05,
) -> Float[Tensor, "P"]:
    """Flex-DPO of the 3D-properties paper, arXiv:2406.07327.

    -log sigmoid(beta_plus * chosen_logratio - beta_minus * rejected_logratio).

    beta_minus below beta_plus slows the fall of the rejected response: their ratio is that of the
    gradients. With both equal the loss is `dpo`. The paper's likelihood term is `regularizers=[sft]` at
    weight 0.05 to 0.2.

    >>> import torch
    >>> flex_dpo(torch.tensor([0.5]), torch.tensor([1.0]))
    tensor([0.6931])
    """
    return -F.logsigmoid(beta_plus * chosen_logratios - beta_minus * rejected_logratios)
