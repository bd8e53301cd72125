"""Regression of an attribute model's values on ratings."""

from jaxtyping import Float
from torch import Tensor

from alignlab.settings import PositiveNumber


def attribute_regression(
    attribute_values: Float[Tensor, "B K A"],
    ratings: Float[Tensor, "B K A"],
    *,
    scale: PositiveNumber = 1.0,
) -> tuple[Float[Tensor, "B K"], Float[Tensor, "B K"]]:
    """Squared error of ratings by attribute, arXiv:2406.08673: each response is judged alone, in each attribute.

    (value - scale * rating)^2 for every attribute of a response whose rating is known; a mean over these.

    A rating that is NaN is not known, and counts for nothing: data of several sources need not share attributes.

    >>> import torch
    >>> attribute_regression(torch.tensor([[[1.0, 1.0]]]), torch.tensor([[[3.0, torch.nan]]]))
    (tensor([[4.]]), tensor([[1.]]))
    """
    is_known = ~ratings.isnan()
    errors_BKA = (attribute_values - scale * ratings.masked_fill(~is_known, 0)).square()
    return errors_BKA.masked_fill(~is_known, 0).sum(dim=2), is_known.sum(dim=2).to(errors_BKA.dtype)
