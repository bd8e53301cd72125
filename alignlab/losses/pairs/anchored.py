"""Pairwise losses that keep the likelihood of the chosen response from falling."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from alignlab.errors import one_of
from alignlab.objective.numeric import PerPair, per_token


def dpop(
    chosen_logratios: Float[Tensor, "P"],
    rejected_logratios: Float[Tensor, "P"],
    *,
    beta: PerPair = 0.3,
    lam: float = 50.0,
    penalty: str = "inside",
) -> Float[Tensor, "P"]:
    """DPO-positive, Smaug, arXiv:2402.13228.

    -log sigmoid(beta * (h - lam * max(0, -chosen_logratio))), h the difference of log-ratios.
    `penalty="outside"` adds lam * max(0, -chosen_logratio) to the DPO loss instead, as some ports
    do. With lam = 0 it is `dpo`, and so is its first step, where policy and reference are equal.
    The penalty multiplies the gradient of a chosen response that fell by 1 + lam: where 50 diverges,
    try 1 to 10.

    >>> import torch
    >>> dpop(torch.tensor([-0.5]), torch.tensor([-1.5]), lam=2.0)
    tensor([0.6931])
    """
    fallen = F.relu(-chosen_logratios)
    margins = chosen_logratios - rejected_logratios
    if one_of("penalty", penalty, ("inside", "outside")) == "inside":
        return -F.logsigmoid(beta * (margins - lam * fallen))
    return -F.logsigmoid(beta * margins) + lam * fallen


def rpo(
    chosen_logratios: Float[Tensor, "P"],
    rejected_logratios: Float[Tensor, "P"],
    chosen_logps: Float[Tensor, "P"],
    chosen_lengths: Float[Tensor, "P"],
    *,
    beta: PerPair = 0.01,
    eta: float = 0.005,
    normalization: str = "sum_beta",
) -> Float[Tensor, "P"]:
    """Regularized preference optimization, arXiv:2405.16436.

    -log sigmoid(beta * h) - eta * beta * chosen_logp, h the difference of log-ratios: the likelihood
    of the chosen response is an adversarial regularizer. `normalization="mean"` is the form of the
    paper's appendix, eta * (-chosen_logp / chosen_length) without beta; there eta = 0.2, beta = 0.5.
    With eta = 0 it is `dpo`.

    >>> import torch
    >>> half, ten = torch.tensor([0.5]), torch.tensor([10.0])
    >>> rpo(half, -half, -ten, ten, beta=0.1, eta=0.2, normalization="mean")
    tensor([0.8444])
    """
    if one_of("normalization", normalization, ("sum_beta", "mean")) == "sum_beta":
        likelihood = beta * chosen_logps
    else:
        likelihood = per_token(chosen_logps, chosen_lengths)
    return -F.logsigmoid(beta * (chosen_logratios - rejected_logratios)) - eta * likelihood


def cal_dpo(
    chosen_logratios: Float[Tensor, "P"],
    rejected_logratios: Float[Tensor, "P"],
    *,
    beta: PerPair = 0.002,
    calib_weight: float = 1.0,
) -> Float[Tensor, "P"]:
    """Calibrated DPO, arXiv:2412.14516.

    -log sigmoid(h) + calib_weight * [(chosen_logratio - t)^2 + (rejected_logratio + t)^2], with the
    target t = 1 / (2 beta) in nats. beta sets the targets and stands nowhere else. The released code
    takes calib_weight = 0.5. At the start the loss is some 2 t^2: a small beta wants a small
    learning rate.

    >>> import torch
    >>> cal_dpo(torch.tensor([5.0]), torch.tensor([-5.0]), beta=0.1)
    tensor([4.5399e-05])
    """
    target = 1 / (2 * beta)
    calibration = (chosen_logratios - target).square() + (rejected_logratios + target).square()
    return -F.logsigmoid(chosen_logratios - rejected_logratios) + calib_weight * calibration
