"""The Bradley-Terry loss of reward models."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from alignlab.settings import ErrorRate, NonNegative, PositiveNumber


def bradley_terry(
    chosen_values: Float[Tensor, "P"],
    rejected_values: Float[Tensor, "P"],
    strength: Float[Tensor, "P"],
    *,
    margin: NonNegative = 0.0,
    epsilon: ErrorRate = 0.0,
    centring: NonNegative = 0.0,
    temperature: PositiveNumber = 1.0,
) -> Float[Tensor, "P"]:
    """Bradley-Terry likelihood of a reward model's preferences, arXiv:2203.02155 eq. 1; options of arXiv:2401.06080.

    -(1 - epsilon) log sigmoid(h) - epsilon log sigmoid(-h) + centring * (chosen_value + rejected_value)^2, where
    h = (chosen_value - rejected_value - margin * strength) / temperature.

    The margin is inside the sigmoid, where it has a gradient (eq. 6 of arXiv:2401.06080 prints it outside), and grows
    with the label gap of the pair. Only `centring` makes the loss depend on where values lie, and not on their
    differences alone.

    >>> import torch
    >>> bradley_terry(torch.tensor([1.0]), torch.tensor([0.5]), torch.tensor([0.3]), margin=1.0)
    tensor([0.5981])
    """
    gaps = (chosen_values - rejected_values - margin * strength) / temperature
    right, wrong = -F.logsigmoid(gaps), -F.logsigmoid(-gaps)
    return (1 - epsilon) * right + epsilon * wrong + centring * (chosen_values + rejected_values).square()
