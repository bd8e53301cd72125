"""Pairwise logistic losses whose margin is not the plain difference of log-ratios."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from alignlab.objective.numeric import PerPair, per_token


def ln_dpo(
    chosen_logratios: Float[Tensor, "P"],
    rejected_logratios: Float[Tensor, "P"],
    chosen_lengths: Float[Tensor, "P"],
    rejected_lengths: Float[Tensor, "P"],
    *,
    beta: PerPair = 2.0,
) -> Float[Tensor, "P"]:
    """Length-normalized DPO, arXiv:2407.15229.

    -log sigmoid(beta * (chosen_logratio / chosen_length - rejected_logratio / rejected_length)).
    beta is some mean length larger than that of `dpo`: 1 to 10. Where all lengths are 1 it is `dpo`.

    >>> import torch
    >>> ln_dpo(torch.tensor([5.0]), torch.tensor([-6.0]), torch.tensor([10.0]), torch.tensor([12.0]))
    tensor([0.1269])
    """
    chosen = per_token(chosen_logratios, chosen_lengths)
    rejected = per_token(rejected_logratios, rejected_lengths)
    return -F.logsigmoid(beta * (chosen - rejected))


def r_dpo(
    chosen_logratios: Float[Tensor, "P"],
    rejected_logratios: Float[Tensor, "P"],
    chosen_lengths: Float[Tensor, "P"],
    rejected_lengths: Float[Tensor, "P"],
    *,
    beta: PerPair = 0.1,
    alpha: float = 0.02,
) -> Float[Tensor, "P"]:
    """Length-regularized DPO, arXiv:2403.19159 eq. 9.

    -log sigmoid(beta * h + alpha * (chosen_length - rejected_length)), h the difference of
    log-ratios; alpha per token. A longer chosen response has a smaller loss, so it is pushed less.
    With alpha = 0 it is `dpo`; `dpo` with `regularizers=[length]` at weight alpha / beta is the same
    loss. Iterated over rounds it is iLR-DPO, arXiv:2406.11817.

    >>> import torch
    >>> r_dpo(torch.tensor([1.0]), torch.tensor([0.0]), torch.tensor([5.0]), torch.tensor([10.0]))
    tensor([0.6931])
    """
    longer = alpha * (chosen_lengths - rejected_lengths)
    return -F.logsigmoid(beta * (chosen_logratios - rejected_logratios) + longer)


def minor_dpo(
    chosen_logratios: Float[Tensor, "P"], rejected_logratios: Float[Tensor, "P"], *, beta: PerPair = 0.1
) -> Float[Tensor, "P"]:
    """Minor DPO, arXiv:2408.09834: a rejected response is pushed down only while above the reference.

    -log sigmoid(beta * (chosen_logratio - max(0, rejected_logratio))). Where the rejected log-ratio
    is positive it is `dpo`, and so is the first step: at 0 its gradient passes in full.

    >>> import torch
    >>> minor_dpo(torch.tensor([0.0]), torch.tensor([-3.0]))
    tensor([0.6931])
    """
    # clamp, not relu: at 0 the slope of clamp is 1
    return -F.logsigmoid(beta * (chosen_logratios - rejected_logratios.clamp(min=0)))


def flex_dpo(
    chosen_logratios: Float[Tensor, "P"],
    rejected_logratios: Float[Tensor, "P"],
    *,
    beta_plus: float = 0.1,
    beta_minus: float = 0.05,
) -> Float[Tensor, "P"]:
    """Flex-DPO of the 3D-properties paper, arXiv:2406.07327.

    -log sigmoid(beta_plus * chosen_logratio - beta_minus * rejected_logratio). beta_minus below
    beta_plus slows the fall of the rejected response: their ratio is that of the gradients. With
    both equal it is `dpo`. The paper's likelihood term is `regularizers=[sft]` at weight 0.05 to 0.2.

    >>> import torch
    >>> flex_dpo(torch.tensor([0.5]), torch.tensor([1.0]))
    tensor([0.6931])
    """
    return -F.logsigmoid(beta_plus * chosen_logratios - beta_minus * rejected_logratios)
