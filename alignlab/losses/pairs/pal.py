"""The loss of user models."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from alignlab.errors import one_of
from alignlab.settings import NonNegative

FORMS = ("hinge", "logistic")


def pal(
    chosen_values: Float[Tensor, "P"],
    rejected_values: Float[Tensor, "P"],
    *,
    form: str = "hinge",
    margin: NonNegative = 1.0,
) -> Float[Tensor, "P"]:
    """Pluralistic alignment: the user's value of chosen should lead that of rejected, arXiv:2406.08469.

    max(0, margin - (chosen_value - rejected_value)); with `form=logistic` -log sigmoid(chosen_value - rejected_value).

    Values are those for the user of the pair: minus distances to an ideal point (policy.form=A), or scaled cosines
    (policy.form=B), whose loss is the logistic one.

    >>> import torch
    >>> pal(torch.tensor([0.5]), torch.tensor([0.0]))
    tensor([0.5000])
    """
    gaps = chosen_values - rejected_values
    return -F.logsigmoid(gaps) if one_of("form", form, FORMS) == "logistic" else F.relu(margin - gaps)
