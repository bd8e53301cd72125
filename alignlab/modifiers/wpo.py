"""WPO: every pair weighs as much as the policy would be likely to write its two responses."""

from collections.abc import Callable
from functools import partial

from jaxtyping import Float
from torch import Tensor

from alignlab.objective.modified import Loss
from alignlab.objective.numeric import per_token
from alignlab.settings import NonNegative
from alignlab.types import Reports

Weighted = tuple[Float[Tensor, "P"], Reports]


def wpo(*, clamp_max: NonNegative | None = 1.0, normalizer: bool = True) -> Callable[..., Weighted]:
    """Weighted preference optimization, arXiv:2406.11827: any pairwise loss times the weight of its pair.

    w(chosen) * w(rejected) * loss, with w(y) the exponential of the mean over tokens of
    log policy(y_t) - ln sum_v policy(v)^2.

    A response as likely as a sample of the policy weighs 1. No gradient flows through the weights.
    Their product is clamped at `clamp_max` (null: unbounded). `normalizer=false` leaves out the sum over
    the vocabulary, so that w is the geometric mean probability of the tokens. The objective `wpo` is `dpo`
    under this modifier. Weights of long responses that the policy would not write are tiny, and so is
    the loss.

    Reports `weight`, the mean of the pairs' weights.
    """
    return partial(relative_to_samples if normalizer else by_probability, clamp_max=clamp_max)


def relative_to_samples(
    loss: Loss,
    chosen_logps: Float[Tensor, "P"],
    rejected_logps: Float[Tensor, "P"],
    chosen_log_collisions: Float[Tensor, "P"],
    rejected_log_collisions: Float[Tensor, "P"],
    chosen_lengths: Float[Tensor, "P"],
    rejected_lengths: Float[Tensor, "P"],
    *,
    clamp_max: float | None,
) -> Weighted:
    """The loss weighted by probabilities relative to those of a sample (sampled alignment)."""
    chosen, rejected = chosen_logps - chosen_log_collisions, rejected_logps - rejected_log_collisions
    weights = pair_weights(chosen, rejected, chosen_lengths, rejected_lengths, clamp_max=clamp_max)
    return weights * loss(), {"weight": weights}


def by_probability(
    loss: Loss,
    chosen_logps: Float[Tensor, "P"],
    rejected_logps: Float[Tensor, "P"],
    chosen_lengths: Float[Tensor, "P"],
    rejected_lengths: Float[Tensor, "P"],
    *,
    clamp_max: float | None,
) -> Weighted:
    """The loss weighted by the geometric mean probability of the tokens of both responses."""
    weights = pair_weights(
        chosen_logps, rejected_logps, chosen_lengths, rejected_lengths, clamp_max=clamp_max
    )
    return weights * loss(), {"weight": weights}


def pair_weights(
    chosen: Float[Tensor, "P"],
    rejected: Float[Tensor, "P"],
    chosen_lengths: Float[Tensor, "P"],
    rejected_lengths: Float[Tensor, "P"],
    *,
    clamp_max: float | None,
) -> Float[Tensor, "P"]:
    """Weights w(chosen) * w(rejected) from sums of log-weights over tokens, without gradient.

    >>> import torch
    >>> one = torch.ones(1)
    >>> pair_weights(-one, 0 * one, one, one, clamp_max=1.0)
    tensor([0.3679])
    """
    means = per_token(chosen, chosen_lengths) + per_token(rejected, rejected_lengths)
    weights = means.detach().exp()
    return weights if clamp_max is None else weights.clamp(max=clamp_max)
