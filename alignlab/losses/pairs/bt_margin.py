"""The Bradley-Terry loss with a margin that grows with the strength of the preference."""

from jaxtyping import Float
from torch import Tensor

from alignlab.losses.pairs.bradley_terry import bradley_terry
from alignlab.settings import ErrorRate, NonNegative, PositiveNumber


def bt_margin(
    chosen_values: Float[Tensor, "P"],
    rejected_values: Float[Tensor, "P"],
    strength: Float[Tensor, "P"],
    *,
    margin: NonNegative = 1.0,
    epsilon: ErrorRate = 0.0,
    centring: NonNegative = 0.0,
    temperature: PositiveNumber = 1.0,
) -> Float[Tensor, "P"]:
    """Bradley-Terry likelihood in which strong preferences have to lead by more, arXiv:2401.06080 eq. 6.

    `bradley_terry` with h = (chosen_value - rejected_value - margin * strength) / temperature, and a margin by default.

    >>> import torch
    >>> bt_margin(torch.tensor([1.0]), torch.tensor([0.5]), torch.tensor([0.3]))
    tensor([0.5981])
    """
    options = {"margin": margin, "epsilon": epsilon, "centring": centring, "temperature": temperature}
    return bradley_terry(chosen_values, rejected_values, strength, **options)
