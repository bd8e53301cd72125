"""Arithmetic that several losses share: means over tokens, soft labels, functions that stay finite."""

import math
from typing import Annotated

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from alignlab.settings import ABOVE_0

PerPair = Annotated[float | Float[Tensor, "P"], ABOVE_0]
"""A beta, above 0: one number for all pairs, or a tensor with one number a pair."""
MAX_EXPONENT = 80.0
"""The largest exponent; larger ones are clamped. e^80, and its product with any beta in use, is finite in float32."""


def k3(logratios: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """The estimate exp(-r) - 1 + r of the KL from log-ratios r in nats: never negative, and constant below r = -80."""
    gaps = (-logratios).clamp(max=MAX_EXPONENT)
    return torch.expm1(gaps) - gaps


def per_token(sums: Float[Tensor, "P"], lengths: Float[Tensor, "P"]) -> Float[Tensor, "P"]:
    """Return the mean over a response's tokens from their sum; an empty response counts one token."""
    return sums / lengths.clamp(min=1)


def soft_label(
    margins: Float[Tensor, "*shape"], target: float | Float[Tensor, "*shape"]
) -> Float[Tensor, "*shape"]:
    """Return the cross-entropy of a margin, in nats, where chosen is the better one with probability `target`.

    >>> soft_label(torch.tensor([0.1]), 0.9)
    tensor([0.6544])
    """
    return -target * F.logsigmoid(margins) - (1 - target) * F.logsigmoid(-margins)


def log1mexp(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Return log(1 - exp(x)) for x < 0, exact at both ends.

    >>> log1mexp(torch.tensor([-1e-6, -5.0]))
    tensor([-1.3816e+01, -6.7607e-03])
    """
    near = x > -math.log(2)
    far = torch.log1p(-torch.exp(x.masked_fill(near, -1.0)))  # near 0 its slope is infinite
    return torch.where(near, torch.log(-torch.expm1(x)), far)
