"""Regression of a reward model's values on raw scores."""

from jaxtyping import Float
from torch import Tensor

from alignlab.settings import PositiveNumber


def regression(
    values: Float[Tensor, "B K"],
    rewards: Float[Tensor, "B K"],
    *,
    scale: PositiveNumber = 1.0,
) -> tuple[Float[Tensor, "B K"], Float[Tensor, "B K"]]:
    """Squared error of a reward model's values, arXiv:2311.09528: the raw scores of single responses are the target.

    (value - scale * reward)^2 for every response whose reward is known.

    A reward that is NaN is not known: its response counts for nothing. Rewards need no order within a list.

    >>> import torch
    >>> regression(torch.tensor([[1.0, 1.0]]), torch.tensor([[3.0, torch.nan]]))
    (tensor([[4., 0.]]), tensor([[1., 0.]]))
    """
    is_known = ~rewards.isnan()
    targets = scale * rewards.masked_fill(~is_known, 0)
    return (values - targets).square().masked_fill(~is_known, 0), is_known.to(values.dtype)
