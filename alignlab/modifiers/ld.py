"""Length desensitization: tokens beyond the length that both responses share count less."""

from collections.abc import Callable
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from alignlab.losses.pairs.tokens import ld_sums
from alignlab.objective.modified import Loss
from alignlab.objective.numeric import expect


def ld(*, alpha: float = 0.5, on_reference: bool = True) -> Callable[..., Float[Tensor, "P"]]:
    """LD-DPO's log-probabilities, arXiv:2409.06411, in any pairwise loss that sums over tokens.

    Tokens beyond the shared length count alpha in [0, 1], of the policy and of the reference;
    `on_reference=false` leaves the reference's sums as they are, as a loss without one wants it. With
    alpha = 1 nothing changes. On `dpo` it is `ld_dpo`. Lengths stay: a loss that divides by them
    divides by all tokens.

    Raises ConfigError on an alpha outside [0, 1].
    """
    expect(0 <= alpha <= 1, "alpha", alpha, "a share in [0, 1]")
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
    alpha: float = 0.5,
) -> Float[Tensor, "P"]:
    """The loss at desensitized log-probabilities of policy and reference."""
    shared = torch.minimum(chosen_lengths, rejected_lengths)
    return loss(
        chosen_logps=ld_sums(chosen_token_logps, shared, alpha=alpha),
        rejected_logps=ld_sums(rejected_token_logps, shared, alpha=alpha),
        chosen_ref_logps=ld_sums(chosen_token_ref_logps, shared, alpha=alpha),
        rejected_ref_logps=ld_sums(rejected_token_ref_logps, shared, alpha=alpha),
    )


def policy_only(
    loss: Loss,
    chosen_token_logps: Float[Tensor, "P L"],
    rejected_token_logps: Float[Tensor, "P L"],
    chosen_lengths: Float[Tensor, "P"],
    rejected_lengths: Float[Tensor, "P"],
    *,
    alpha: float = 0.5,
) -> Float[Tensor, "P"]:
    """The loss at desensitized log-probabilities of the policy alone."""
    shared = torch.minimum(chosen_lengths, rejected_lengths)
    return loss(
        chosen_logps=ld_sums(chosen_token_logps, shared, alpha=alpha),
        rejected_logps=ld_sums(rejected_token_logps, shared, alpha=alpha),
    )
