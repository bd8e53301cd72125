"""RLOO: the log-probability of each response, weighted by how far its reward is above that of the others."""

from collections.abc import Callable
from functools import partial

from jaxtyping import Bool, Float
from torch import Tensor

from alignlab.losses.policy_gradient.advantages import to_others
from alignlab.losses.policy_gradient.ratios import Counted, clipped, present, ratio, summed
from alignlab.settings import NonNegative, PositiveNumber


def rloo(*, beta: NonNegative = 0.0, epsilon: PositiveNumber | None = None) -> Callable[..., Counted]:
    """REINFORCE leave-one-out, arXiv:2402.14740.

    -A * logp, with A the reward of the response less the mean reward of the other responses of its list.

    The mean is over responses. Lists of equal rewards have A = 0, and so has a response without others, which no run
    takes. With `beta` the reward is reduced by beta * the sum over tokens of log pi_drawn - log pi_ref, before the
    baseline, and without gradient: beta is in units of reward a nat. `epsilon` clips the ratio of whole responses to
    the policy at the time of drawing, as TRL has it: -min(ratio * A, clip(ratio) * A). Where nothing moved since the
    gradient is the same, and the value is -A, whose mean is 0.
    """
    if epsilon is None:
        return partial(reinforce_kl, beta=beta) if beta else reinforce
    return (
        partial(clipped_kl, beta=beta, epsilon=epsilon) if beta else partial(clipped_ratio, epsilon=epsilon)
    )


def reinforce(
    token_logps: Float[Tensor, "B K L"],
    rewards: Float[Tensor, "B K"],
    where: Bool[Tensor, "B K"],
    token_where: Bool[Tensor, "B K L"],
    token_weights: Float[Tensor, "B K L"],
) -> Counted:
    """The loss of each response with its plain reward."""
    values = -to_others(rewards, where) * summed(token_weights * token_logps, token_where)
    return values, present(token_where, values)


def reinforce_kl(
    token_logps: Float[Tensor, "B K L"],
    token_behavior_logps: Float[Tensor, "B K L"],
    token_ref_logps: Float[Tensor, "B K L"],
    rewards: Float[Tensor, "B K"],
    where: Bool[Tensor, "B K"],
    token_where: Bool[Tensor, "B K L"],
    token_weights: Float[Tensor, "B K L"],
    *,
    beta: float,
) -> Counted:
    """The loss with the divergence of the drawn tokens taken off the reward."""
    rewards = rewards - beta * (token_behavior_logps - token_ref_logps).sum(dim=2)
    return reinforce(token_logps, rewards, where, token_where, token_weights)


def clipped_ratio(
    token_logps: Float[Tensor, "B K L"],
    token_old_logps: Float[Tensor, "B K L"],
    rewards: Float[Tensor, "B K"],
    where: Bool[Tensor, "B K"],
    token_where: Bool[Tensor, "B K L"],
    token_weights: Float[Tensor, "B K L"],
    *,
    epsilon: float,
) -> Counted:
    """The clipped loss of whole responses; a response weighs the mean of its tokens' weights."""
    counted = present(token_where, token_logps)
    ratios = ratio(summed(token_logps - token_old_logps, token_where))
    weights = summed(token_weights, token_where) / token_where.sum(dim=2).clamp(min=1)
    return weights * counted * clipped(ratios, to_others(rewards, where), epsilon, epsilon), counted


def clipped_kl(
    token_logps: Float[Tensor, "B K L"],
    token_old_logps: Float[Tensor, "B K L"],
    token_behavior_logps: Float[Tensor, "B K L"],
    token_ref_logps: Float[Tensor, "B K L"],
    rewards: Float[Tensor, "B K"],
    where: Bool[Tensor, "B K"],
    token_where: Bool[Tensor, "B K L"],
    token_weights: Float[Tensor, "B K L"],
    *,
    beta: float,
    epsilon: float,
) -> Counted:
    """The clipped loss with the divergence of the drawn tokens taken off the reward."""
    rewards = rewards - beta * (token_behavior_logps - token_ref_logps).sum(dim=2)
    return clipped_ratio(
        token_logps, token_old_logps, rewards, where, token_where, token_weights, epsilon=epsilon
    )
