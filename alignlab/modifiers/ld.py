"""LD-DPO: tokens beyond the length that both responses share count less."""

from collections.abc import Callable
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from alignlab.objective.modified import Loss
from alignlab.settings import Share
from alignlab.types import Reports

Desensitized = tuple[Float[Tensor, "P"], Reports]


def ld(*, alpha: Share = 0.5, on_reference: bool = True) -> Callable[..., Desensitized]:
    """Length desensitization, LD-DPO, arXiv:2409.06411, for any pairwise loss that sums over tokens.

    loss at log-probabilities in which tokens beyond the length that both responses share count alpha,
    in [0, 1].

    The sums of policy and reference are both desensitized; `on_reference=false` leaves the reference's
    sums as they are, as a loss without a reference wants it. With alpha = 1 nothing changes, with
    alpha = 0 what a response is longer by counts nothing. The objective `ld_dpo` is `dpo` under this
    modifier. Lengths stay: a loss that divides by them divides by all tokens.

    Reports `shared`, the share of tokens within the length that both responses have.
    """
    return partial(both if on_reference else policy_only, alpha=alpha)


def both(
    loss: Loss,
    chosen_token_logps: Float[Tensor, "P L"],
    rejected_token_logps: Float[Tensor, "P L"],
    chosen_token_ref_logps: Float[Tensor, "P L"],
    rejected_token_ref_logps: Float[Tensor, "P L"],
    chosen_lengths: Float[Tensor, "P"],
    rejected_lengths: Float[Tensor, "P"],
    *,
    alpha: float,
) -> Desensitized:
    """The loss at desensitized log-probabilities of policy and reference."""
    shared = torch.minimum(chosen_lengths, rejected_lengths)
    losses = loss(
        chosen_logps=ld_sums(chosen_token_logps, shared, alpha=alpha),
        rejected_logps=ld_sums(rejected_token_logps, shared, alpha=alpha),
        chosen_ref_logps=ld_sums(chosen_token_ref_logps, shared, alpha=alpha),
        rejected_ref_logps=ld_sums(rejected_token_ref_logps, shared, alpha=alpha),
    )
    return losses, {"shared": (2 * shared, chosen_lengths + rejected_lengths)}


def policy_only(
    loss: Loss,
    chosen_token_logps: Float[Tensor, "P L"],
    rejected_token_logps: Float[Tensor, "P L"],
    chosen_lengths: Float[Tensor, "P"],
    rejected_lengths: Float[Tensor, "P"],
    *,
    alpha: float,
) -> Desensitized:
    """The loss at desensitized log-probabilities of the policy alone."""
    shared = torch.minimum(chosen_lengths, rejected_lengths)
    losses = loss(
        chosen_logps=ld_sums(chosen_token_logps, shared, alpha=alpha),
        rejected_logps=ld_sums(rejected_token_logps, shared, alpha=alpha),
    )
    return losses, {"shared": (2 * shared, chosen_lengths + rejected_lengths)}


def ld_sums(
    token_logps: Float[Tensor, "P L"], shared_lengths: Float[Tensor, "P"], *, alpha: float
) -> Float[Tensor, "P"]:
    """Sums over tokens that weigh 1 within the shared length and alpha after it, in nats.

    >>> ld_sums(torch.tensor([[-1.0, -2.0, -4.0]]), torch.tensor([1.0]), alpha=0.5)
    tensor([-4.])
    """
    inside = torch.arange(token_logps.shape[1], device=token_logps.device) < shared_lengths[:, None]
    return torch.where(inside, token_logps, alpha * token_logps).sum(dim=1)
