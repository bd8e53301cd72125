"""ConfPO: SimPO on the tokens that the policy is least sure of."""

import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from alignlab.objective.numeric import PerPair
from alignlab.settings import NonNegative
from alignlab.types import Reports


def conf_po(
    chosen_token_logps: Float[Tensor, "P L"],
    rejected_token_logps: Float[Tensor, "P L"],
    chosen_token_where: Bool[Tensor, "P L"],
    rejected_token_where: Bool[Tensor, "P L"],
    *,
    beta: PerPair = 2.5,
    gamma: NonNegative = 1.0,
) -> tuple[Float[Tensor, "P"], Reports]:
    """ConfPO, arXiv:2506.08712.

    -log sigmoid(beta * (mean chosen logp - mean rejected logp) - gamma), where each mean is over the tokens whose
    probability is below the arithmetic mean of their response's (no gradient flows through the choice).

    A response whose tokens are all equally likely has no such token: the loss of its pair is 0, and counts.

    Reports `selected`, the share of tokens that the means are over.

    >>> import torch
    >>> sure, unsure = torch.tensor([[-0.1, -2.0]]), torch.tensor([[-0.1, -4.0]])
    >>> losses, reports = conf_po(sure, unsure, sure < 0, unsure < 0, beta=1.0)
    >>> losses  # log(1 + exp(-(4 - 2 - 1)))
    tensor([0.3133])
    >>> reports["selected"]  # of each pair's tokens, and of how many
    (tensor([2]), tensor([4]))
    """
    chosen, of_chosen = _of_unsure_tokens(chosen_token_logps, chosen_token_where)
    rejected, of_rejected = _of_unsure_tokens(rejected_token_logps, rejected_token_where)
    losses = -F.logsigmoid(beta * (chosen - rejected) - gamma)
    tokens = chosen_token_where.sum(dim=1) + rejected_token_where.sum(dim=1)
    reports = {"selected": (of_chosen + of_rejected, tokens)}
    return losses.masked_fill((of_chosen == 0) | (of_rejected == 0), 0), reports


def _of_unsure_tokens(
    logps: Float[Tensor, "P L"], where: Bool[Tensor, "P L"]
) -> tuple[Float[Tensor, "P"], Int[Tensor, "P"]]:
    """The mean log-probability of the tokens below their response's mean probability, and how many there are."""
    probabilities = logps.detach().exp().masked_fill(~where, 0)
    means = probabilities.sum(dim=1, keepdim=True) / where.sum(dim=1, keepdim=True).clamp(min=1)
    unsure = where & (probabilities < means)
    count = unsure.sum(dim=1)
    return logps.masked_fill(~unsure, 0).sum(dim=1) / count.clamp(min=1), count
