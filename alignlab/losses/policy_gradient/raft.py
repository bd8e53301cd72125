"""RAFT: fine-tuning on the best response of each drawn list."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from alignlab.losses.lists.masked_lists import is_tied, is_top
from alignlab.losses.policy_gradient.ratios import Counted, summed, token_counts
from alignlab.settings import AnyNumber


def raft(
    token_logps: Float[Tensor, "B K L"],
    rewards: Float[Tensor, "B K"],
    where: Bool[Tensor, "B K"],
    token_where: Bool[Tensor, "B K L"],
    token_weights: Float[Tensor, "B K L"],
    *,
    threshold: AnyNumber | None = None,
) -> Counted:
    """Reward ranked fine-tuning, arXiv:2304.06767; with a threshold, rejection sampling fine-tuning.

    -log-probability of each token of the best response of its list, and the mean over all such tokens of the step.

    Of equals the first is the best; a list of equal rewards has none and does not count. `threshold` takes every
    response of a reward above it instead, be its list tied or not. With one response a list, of a reward above the
    threshold, it is `supervised`.
    """
    if threshold is None:
        taken = is_top(rewards, where) & ~is_tied(rewards, where)
    else:
        taken = where & (rewards > threshold)
    token_where = torch.logical_and(token_where, taken[..., None])
    return summed(-token_weights * token_logps, token_where), token_counts(token_where, token_logps)
