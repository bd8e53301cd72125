"""WPO: every pair weighs as much as the policy would be likely to write its responses."""

from collections.abc import Callable
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from alignlab.losses.pairs.pairwise import dpo
from alignlab.objective.numeric import PerPair, per_token


def wpo(
    *, beta: float = 0.01, clamp_max: float | None = 1.0, normalizer: bool = True
) -> Callable[..., Float[Tensor, "P"]]:
    """Weighted preference optimization, arXiv:2406.11827.

    w(chosen) * w(rejected) * `dpo`, with w(y) the exponential of the mean over tokens of
    log policy(y_t) - ln sum_v policy(v)^2: 1 for a response as likely as a sample. No gradient flows
    through the weights. Their product is clamped at `clamp_max` (null: not). `normalizer=false`
    leaves out the sum over the vocabulary. With weights of 1 it is `dpo`. Weights
    of long responses that the policy would not write are tiny, and so is the loss.

    >>> one = torch.ones(1)
    >>> wpo(normalizer=False)(one, one, -one, 0 * one, one, one)
    tensor([0.2550])
    """
    return partial(aligned if normalizer else raw, beta=beta, clamp_max=clamp_max)


def aligned(
    chosen_logratios: Float[Tensor, "P"],
    rejected_logratios: Float[Tensor, "P"],
    chosen_logps: Float[Tensor, "P"],
    rejected_logps: Float[Tensor, "P"],
    chosen_log_collisions: Float[Tensor, "P"],
    rejected_log_collisions: Float[Tensor, "P"],
    chosen_lengths: Float[Tensor, "P"],
    rejected_lengths: Float[Tensor, "P"],
    *,
    beta: PerPair,
    clamp_max: float | None,
) -> Float[Tensor, "P"]:
    """The loss with sampled alignment: probabilities relative to those of a sample."""
    weights = wpo_weights(
        chosen_logps,
        chosen_log_collisions,
        chosen_lengths,
        rejected_logps,
        rejected_log_collisions,
        rejected_lengths,
        clamp_max=clamp_max,
    )
    return weights * dpo(chosen_logratios, rejected_logratios, beta=beta)


def raw(
    chosen_logratios: Float[Tensor, "P"],
    rejected_logratios: Float[Tensor, "P"],
    chosen_logps: Float[Tensor, "P"],
    rejected_logps: Float[Tensor, "P"],
    chosen_lengths: Float[Tensor, "P"],
    rejected_lengths: Float[Tensor, "P"],
    *,
    beta: PerPair,
    clamp_max: float | None,
) -> Float[Tensor, "P"]:
    """The loss weighted by the geometric mean probability of the tokens."""
    zeros = torch.zeros_like(chosen_logps)
    weights = wpo_weights(
        chosen_logps, zeros, chosen_lengths, rejected_logps, zeros, rejected_lengths, clamp_max=clamp_max
    )
    return weights * dpo(chosen_logratios, rejected_logratios, beta=beta)


def wpo_weights(
    chosen_logps: Float[Tensor, "P"],
    chosen_log_collisions: Float[Tensor, "P"],
    chosen_lengths: Float[Tensor, "P"],
    rejected_logps: Float[Tensor, "P"],
    rejected_log_collisions: Float[Tensor, "P"],
    rejected_lengths: Float[Tensor, "P"],
    *,
    clamp_max: float | None = 1.0,
) -> Float[Tensor, "P"]:
    """w(chosen) * w(rejected) of WPO, without gradient, at most `clamp_max`."""
    chosen = per_token(chosen_logps - chosen_log_collisions, chosen_lengths)
    rejected = per_token(rejected_logps - rejected_log_collisions, rejected_lengths)
    weights = (chosen + rejected).detach().exp()
    return weights if clamp_max is None else weights.clamp(max=clamp_max)
