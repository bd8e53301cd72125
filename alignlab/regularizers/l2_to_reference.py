"""Distance from where training began, in the space of the parameters."""

import torch
from jaxtyping import Float
from torch import Tensor


def l2_to_reference(
    parameter_distance: Float[Tensor, ""],
) -> tuple[Float[Tensor, "1"], Float[Tensor, "1"]]:
    """Half the squared distance of the parameters from their start: weight decay toward it.

    1/2 * sum (theta - theta_0)^2, over the trained parameters.

    Each micro-batch counts once, so that the loss of a step holds their mean, which is the value itself.

    >>> l2_to_reference(torch.tensor(0.03))
    (tensor([0.0300]), tensor([1.]))
    """
    value_1 = parameter_distance.reshape(1)
    return value_1, torch.ones_like(value_1)
