"""Soft preference cross-entropy: DPO on ranked pairs, each with the probability that its judge gave it."""

from jaxtyping import Float
from torch import Tensor

from alignlab.objective.numeric import PerPair, soft_label


def spce(
    chosen_logratios: Float[Tensor, "P"],
    rejected_logratios: Float[Tensor, "P"],
    pair_wins: Float[Tensor, "P"],
    *,
    beta: PerPair = 0.1,
) -> Float[Tensor, "P"]:
    """Soft preference cross-entropy of online self-preferring, arXiv:2405.14103, on pairs that a judge compared.

    -p log sigmoid(m) - (1 - p) log sigmoid(-m), where m = beta * (chosen_logratio - rejected_logratio) and p is the
    judge's probability that chosen beats rejected, the mean of both orders.

    The best margin is m = logit(p). No gradient flows through p. On lists of two it is `osp`, which makes p of the
    labels; on longer ones labels are mean probabilities over the list, and p is that of the pair itself.

    >>> import torch
    >>> spce(torch.tensor([0.5]), torch.tensor([-0.5]), torch.tensor([0.9]))
    tensor([0.6544])
    """
    return soft_label(beta * (chosen_logratios - rejected_logratios), pair_wins.detach())
