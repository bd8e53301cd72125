"""Calibrated DPO: log-ratios regress on the scale of the reward."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from alignlab.objective.numeric import PerPair
from alignlab.settings import NonNegative


def cal_dpo(
    chosen_logratios: Float[Tensor, "P"],
    rejected_logratios: Float[Tensor, "P"],
    *,
    beta: PerPair = 0.002,
    calib_weight: NonNegative = 1.0,
) -> Float[Tensor, "P"]:
    """Calibrated DPO, arXiv:2412.14516.

    -log sigmoid(h) + calib_weight * [(chosen_logratio - t)^2 + (rejected_logratio + t)^2], with the
    target t = 1 / (2 beta) in nats.

    beta sets the targets and stands nowhere else. The released code takes calib_weight = 0.5. At the
    start the loss is some 2 t^2: a small beta wants a small learning rate.

    >>> import torch
    >>> cal_dpo(torch.tensor([5.0]), torch.tensor([-5.0]), beta=0.1)
    tensor([4.5399e-05])
    """
    target = 1 / (2 * beta)
    calibration = (chosen_logratios - target).square() + (rejected_logratios + target).square()
    return -F.logsigmoid(chosen_logratios - rejected_logratios) + calib_weight * calibration
