"""Calibrated DPO: log-ratios regress on the scale of the reward."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from alignlab.objective.numeric import PerPair
from alignlab.settings import NonNegative
from alignlab.types import Reports


def cal_dpo(
    chosen_logratios: Float[Tensor, "P"],
    rejected_logratios: Float[Tensor, "P"],
    *,
    beta: PerPair = 0.002,
    calib_weight: NonNegative = 1.0,
) -> tuple[Float[Tensor, "P"], Reports]:
    """Calibrated DPO, arXiv:2412.14516.

    -log sigmoid(h) + calib_weight * [(chosen_logratio - t)^2 + (rejected_logratio + t)^2], with the
    target t = 1 / (2 beta) in nats.

    beta sets the targets and stands nowhere else. The released code takes calib_weight = 0.5. At the
    start the loss is some 2 t^2: a small beta wants a small learning rate.

    Reports `target_gap`, the distance of a log-ratio from its target in nats (mean of both sides).

    >>> import torch
    >>> cal_dpo(torch.tensor([5.0]), torch.tensor([-5.0]), beta=0.1)
    (tensor([4.5399e-05]), {'target_gap': tensor([0.])})
    """
    target = 1 / (2 * beta)
    gaps = chosen_logratios - target, rejected_logratios + target
    calibration = gaps[0].square() + gaps[1].square()
    losses = -F.logsigmoid(chosen_logratios - rejected_logratios) + calib_weight * calibration
    return losses, {"target_gap": (gaps[0].abs() + gaps[1].abs()) / 2}
