"""Contrastive preference optimization: DPO without a reference, and a likelihood term."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from alignlab.errors import one_of
from alignlab.objective.numeric import PerPair, per_token
from alignlab.settings import NonNegative
from alignlab.types import Reports


def cpo(
    chosen_logps: Float[Tensor, "P"],
    rejected_logps: Float[Tensor, "P"],
    chosen_lengths: Float[Tensor, "P"],
    *,
    beta: PerPair = 0.1,
    alpha: NonNegative = 1.0,
    nll: str = "seq_sum",
) -> tuple[Float[Tensor, "P"], Reports]:
    """Contrastive preference optimization, arXiv:2401.08417.

    -log sigmoid(beta * (chosen_logp - rejected_logp)) + alpha * NLL, where the NLL of the chosen response
    is its sum over tokens as in the paper (`nll="seq_sum"`), their mean (`"seq_mean"`), or left out
    (`"none"`).

    For the mean over all tokens of the batch, which later code takes, set `nll=none` and add
    `regularizers=[sft]` at weight alpha. Without NLL the loss is `dpo` whose reference is uniform. A sum
    makes the NLL dwarf the preference: some 20 nats against 0.7.

    Reports `nll`, that of the chosen response as it is reduced, and `preference`, the loss without it.

    >>> import torch
    >>> cpo(torch.tensor([-12.0]), torch.tensor([-17.0]), torch.tensor([10.0]), beta=0.2)
    (tensor([12.3133]), {'nll': tensor([12.]), 'preference': tensor([0.3133])})
    """
    losses = -F.logsigmoid(beta * (chosen_logps - rejected_logps))
    likelihood = nll_of(chosen_logps, chosen_lengths, nll)
    return losses + alpha * likelihood, {"nll": likelihood, "preference": losses}


def nll_of(logps: Tensor, lengths: Tensor, reduction: str) -> Tensor:
    """The negative log-likelihood of each response, in nats: its sum over tokens, their mean, or 0."""
    if one_of("nll", reduction, ("seq_sum", "seq_mean", "none")) == "none":
        return torch.zeros_like(logps)
    return -logps if reduction == "seq_sum" else -per_token(logps, lengths)
