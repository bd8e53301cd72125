"""Anchored preference optimization in both of its forms, zero and down."""

from jaxtyping import Float
from torch import Tensor

from alignlab.objective.numeric import PerPair


def apo_zero(
    chosen_logratios: Float[Tensor, "P"], rejected_logratios: Float[Tensor, "P"], *, beta: PerPair = 0.1
) -> Float[Tensor, "P"]:
    """Anchored preference optimization, zero, arXiv:2408.06266.

    1 - sigmoid(r_chosen) + sigmoid(r_rejected), r = beta * log-ratio: chosen up, rejected down.

    The form is meant for chosen responses better than what the model writes. Half of the loss is `kto`
    with z0 = 0 on pairs. The gradient vanishes at both ends.

    >>> import torch
    >>> apo_zero(torch.tensor([0.0]), torch.tensor([0.0]))
    tensor([1.])
    """
    return (-beta * chosen_logratios).sigmoid() + (beta * rejected_logratios).sigmoid()


def apo_down(
    chosen_logratios: Float[Tensor, "P"], rejected_logratios: Float[Tensor, "P"], *, beta: PerPair = 0.1
) -> Float[Tensor, "P"]:
    """Anchored preference optimization, down, arXiv:2408.06266.

    sigmoid(r_chosen) + 1 - sigmoid(r_chosen - r_rejected), r = beta * log-ratio: both down, rejected
    more.

    The form is meant for chosen responses worse than what the model writes.

    >>> import torch
    >>> apo_down(torch.tensor([0.0]), torch.tensor([0.0]))
    tensor([1.])
    """
    margins = beta * (chosen_logratios - rejected_logratios)
    return (beta * chosen_logratios).sigmoid() + (-margins).sigmoid()
