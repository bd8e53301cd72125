"""On-policy distillation: the divergence from a teacher where the policy's own responses go."""

from collections.abc import Callable
from functools import partial
from typing import Literal

from jaxtyping import Bool, Float
from torch import Tensor

from alignlab.losses.policy_gradient.ratios import Counted, present, summed, token_counts

Over = Literal["tokens", "responses"]


def on_policy_distillation(
    *, divergence: Literal["reverse_kl", "forward_kl", "jsd"] = "reverse_kl", over: Over = "tokens"
) -> Callable[..., Counted]:
    """On-policy distillation, arXiv:2306.13649.

    sum over v of policy(v) * (log policy(v) - log teacher(v)) at each token, over the full vocabulary, and the mean
    over all tokens of the step.

    The teacher is the reference: reference.path names it, and its tokens have to be those of the policy. It needs no
    reward. `forward_kl` exchanges the two, `jsd` is the mean of their divergences from their mean (GKD's at beta 1/2;
    at 0 and 1 it is the forward and the reverse one, by convention). `over=responses` sums over the tokens of a
    response, and takes the mean over responses. No gradient goes through the choice of tokens.
    """
    losses = {"reverse_kl": reverse, "forward_kl": forward, "jsd": middle}
    return partial(losses[divergence], over=over)


def reverse(
    token_kl_reverse: Float[Tensor, "B K L"],
    token_where: Bool[Tensor, "B K L"],
    token_weights: Float[Tensor, "B K L"],
    *,
    over: Over,
) -> Counted:
    """KL(policy || teacher), which holds the policy to what the teacher would say."""
    return reduced(token_kl_reverse, token_where, token_weights, over)


def forward(
    token_kl_forward: Float[Tensor, "B K L"],
    token_where: Bool[Tensor, "B K L"],
    token_weights: Float[Tensor, "B K L"],
    *,
    over: Over,
) -> Counted:
    """KL(teacher || policy), which has the policy say all that the teacher would."""
    return reduced(token_kl_forward, token_where, token_weights, over)


def middle(
    token_jsd: Float[Tensor, "B K L"],
    token_where: Bool[Tensor, "B K L"],
    token_weights: Float[Tensor, "B K L"],
    *,
    over: Over,
) -> Counted:
    """The Jensen-Shannon divergence, between the two."""
    return reduced(token_jsd, token_where, token_weights, over)


def reduced(values: Tensor, token_where: Tensor, token_weights: Tensor, over: Over) -> Counted:
    """The sum over the tokens of each response, and what it counts."""
    sums = summed(token_weights * values, token_where)
    return sums, token_counts(token_where, sums) if over == "tokens" else present(token_where, sums)
