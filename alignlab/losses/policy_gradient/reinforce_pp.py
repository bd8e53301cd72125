"""REINFORCE++: PPO's clipped loss of tokens, with advantages normalized over the whole optimizer step."""

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from alignlab.errors import ConfigError
from alignlab.losses.policy_gradient.moments import Moments, of_responses
from alignlab.losses.policy_gradient.ratios import Counted, clipped_tokens, summed, token_counts
from alignlab.objective.gathered import Gathered
from alignlab.settings import NonNegative, ShareBelowOne
from alignlab.types import Reports


def reinforce_pp(
    *,
    epsilon: ShareBelowOne = 0.2,
    beta: NonNegative = 0.0,
    over: Literal["responses", "tokens"] = "responses",
    std: Literal["sample", "population"] = "sample",
) -> nn.Module:
    """REINFORCE++, arXiv:2501.03262.

    -min(ratio * A, clip(ratio, 1 - epsilon, 1 + epsilon) * A) at each token, with A = (reward - mean) / (std + 1e-8)
    over all responses of the step, and the mean over all tokens of the step.

    The list is no baseline: its prompt may be easy. A is 0 where all rewards of the step are equal. `over=tokens` takes
    mean and std over all tokens, as the paper (eq. 10) and OpenRLHF do with `std=population`, and goes with `beta`: the
    reward at a token is then reduced by beta * the sum over this and later tokens of log pi_drawn - log pi_ref, which
    is data.

    Reports `clipped`, the share of tokens whose gradient the clip takes away.
    """
    if beta and over == "responses":
        raise ConfigError("beta changes rewards from token to token: set over=tokens with it, or beta=0")
    sample = std == "sample"
    if beta:
        return LessDivergence(epsilon, sample, beta)
    return PlainRewards(epsilon, sample, by_token=over == "tokens")


class PlainRewards(nn.Module):
    """The loss whose advantages are rewards, normalized over the responses or the tokens of the step."""

    def __init__(self, epsilon: float, sample: bool, *, by_token: bool) -> None:
        super().__init__()
        self.epsilon, self.sample, self.by_token = epsilon, sample, by_token

    def contribute(
        self, rewards: Float[Tensor, "B K"], token_where: Bool[Tensor, "B K L"]
    ) -> Float[Tensor, "B K 3"]:
        """The moments of each response's reward, which counts once, or once for each token."""
        if self.by_token:
            return of_responses(rewards[..., None].expand(token_where.shape), token_where)
        return torch.stack([torch.ones_like(rewards), rewards, torch.zeros_like(rewards)], dim=2)

    def forward(
        self,
        token_logps: Float[Tensor, "B K L"],
        token_old_logps: Float[Tensor, "B K L"],
        rewards: Float[Tensor, "B K"],
        token_where: Bool[Tensor, "B K L"],
        token_weights: Float[Tensor, "B K L"],
        gathered: Gathered,
    ) -> tuple[Counted, Reports]:
        """The loss of each response, and its tokens."""
        advantages = normalized(rewards, gathered, sample=self.sample)[..., None]
        return over_tokens(token_logps, token_old_logps, advantages, token_where, token_weights, self.epsilon)


class LessDivergence(nn.Module):
    """The loss whose rewards fall from token to token by the divergence that is still to come."""

    def __init__(self, epsilon: float, sample: bool, beta: float) -> None:
        super().__init__()
        self.epsilon, self.sample, self.beta = epsilon, sample, beta

    def contribute(
        self,
        token_behavior_logps: Float[Tensor, "B K L"],
        token_ref_logps: Float[Tensor, "B K L"],
        rewards: Float[Tensor, "B K"],
        token_where: Bool[Tensor, "B K L"],
    ) -> Float[Tensor, "B K 3"]:
        """The moments of the rewards at each response's tokens."""
        return of_responses(self._rewards(token_behavior_logps, token_ref_logps, rewards), token_where)

    def forward(
        self,
        token_logps: Float[Tensor, "B K L"],
        token_old_logps: Float[Tensor, "B K L"],
        token_behavior_logps: Float[Tensor, "B K L"],
        token_ref_logps: Float[Tensor, "B K L"],
        rewards: Float[Tensor, "B K"],
        token_where: Bool[Tensor, "B K L"],
        token_weights: Float[Tensor, "B K L"],
        gathered: Gathered,
    ) -> tuple[Counted, Reports]:
        """The loss of each response, and its tokens."""
        rewards = self._rewards(token_behavior_logps, token_ref_logps, rewards)
        advantages = normalized(rewards, gathered, sample=self.sample)
        return over_tokens(token_logps, token_old_logps, advantages, token_where, token_weights, self.epsilon)

    def _rewards(self, drawn: Tensor, ref: Tensor, rewards: Tensor) -> Float[Tensor, "B K L"]:
        to_come = (drawn - ref).flip(2).cumsum(dim=2).flip(2)
        return rewards[..., None] - self.beta * to_come


def normalized(
    values: Float[Tensor, "*shape"], gathered: Gathered, *, sample: bool
) -> Float[Tensor, "*shape"]:
    """Values less the mean of the step, divided by its standard deviation + 1e-8."""
    return Moments.of(gathered).standard(values, sample=sample, outside=1e-8)


def over_tokens(
    token_logps: Float[Tensor, "B K L"],
    token_old_logps: Float[Tensor, "B K L"],
    advantages: Float[Tensor, "B K #L"],
    token_where: Bool[Tensor, "B K L"],
    token_weights: Float[Tensor, "B K L"],
    epsilon: float,
) -> tuple[Counted, Reports]:
    """The clipped loss of each response's tokens, summed, and how many they are."""
    values, reports = clipped_tokens(token_logps, token_old_logps, advantages, token_where, epsilon, epsilon)
    return (summed(token_weights * values, token_where), token_counts(token_where, values)), reports
