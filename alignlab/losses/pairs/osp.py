"""Online self-preferring: cross-entropy with a preference of known strength."""

from jaxtyping import Float
from torch import Tensor

from alignlab.objective.numeric import PerPair, soft_label


def osp(
    chosen_logratios: Float[Tensor, "P"],
    rejected_logratios: Float[Tensor, "P"],
    strength: Float[Tensor, "P"],
    *,
    beta: PerPair = 0.1,
) -> Float[Tensor, "P"]:
    """Online self-preferring, soft preference cross-entropy, arXiv:2405.14103.

    -p log sigmoid(m) - (1 - p) log sigmoid(-m), where m = beta * (chosen_logratio - rejected_logratio)
    and p is the probability that chosen beats rejected: p = (1 + strength) / 2, which is right for labels
    (p, 1 - p) as for (1, 0).

    The best margin is m = logit(p). No gradient flows through p. With p = 1 the loss is `dpo`, with p = 1
    - epsilon `cdpo`.

    >>> import torch
    >>> osp(torch.tensor([0.5]), torch.tensor([-0.5]), torch.tensor([0.8]))
    tensor([0.6544])
    """
    return soft_label(beta * (chosen_logratios - rejected_logratios), (1 + strength.detach()) / 2)
