"""PPO: the clipped loss of tokens against a value model that is learned beside the policy."""

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from alignlab.losses.policy_gradient.gae import ends_of, gae
from alignlab.losses.policy_gradient.moments import Moments, of_responses
from alignlab.losses.policy_gradient.ratios import Counted, clipped_tokens, summed, token_counts
from alignlab.objective.gathered import Gathered
from alignlab.settings import NonNegative, PositiveNumber, Share, ShareBelowOne
from alignlab.types import Reports


class PPO(nn.Module):
    """Proximal policy optimization for language models, arXiv:1707.06347, as in arXiv:2203.02155.

    -min(ratio * A, clip(ratio, 1 - epsilon, 1 + epsilon) * A) + value_weight / 2 * max((v - R)^2, (clip(v, v_drawn -
    value_epsilon, v_drawn + value_epsilon) - R)^2) at each token, and the mean over all tokens of the step.

    The reward is that of the response at its last token, less beta * (log pi_drawn - log pi_ref) at every token. A is
    its generalized advantage (gamma, lam) by the values when the response was drawn, R that plus these values. A is
    then whitened over the tokens of the step: less their mean, divided by the root of their variance + 1e-8. All of it
    is data. A response that was cut goes on from a state that is worth what its last one is.

    Reports `policy` and `value`, the two terms without weight, and `clipped`, the share of tokens whose gradient the
    clip takes away.
    """

    def __init__(
        self,
        *,
        beta: NonNegative = 0.05,
        gamma: Share = 1.0,
        lam: Share = 0.95,
        epsilon: ShareBelowOne = 0.2,
        value_epsilon: PositiveNumber = 0.2,
        value_weight: NonNegative = 0.1,
        whiten: Literal["sample", "population", "none"] = "sample",
    ) -> None:
        super().__init__()
        self.beta, self.gamma, self.lam, self.epsilon = beta, gamma, lam, epsilon
        self.value_epsilon, self.value_weight, self.whiten = value_epsilon, value_weight, whiten

    def contribute(
        self,
        token_behavior_logps: Float[Tensor, "B K L"],
        token_ref_logps: Float[Tensor, "B K L"],
        token_behavior_values: Float[Tensor, "B K L"],
        rewards: Float[Tensor, "B K"],
        finished: Float[Tensor, "B K"],
        token_where: Bool[Tensor, "B K L"],
    ) -> Float[Tensor, "B K 3"]:
        """The moments of the advantages of each response's tokens."""
        divergence = token_behavior_logps - token_ref_logps
        return of_responses(
            self._advantages(divergence, token_behavior_values, rewards, finished, token_where), token_where
        )

    def forward(
        self,
        token_logps: Float[Tensor, "B K L"],
        token_old_logps: Float[Tensor, "B K L"],
        token_values: Float[Tensor, "B K L"],
        token_behavior_logps: Float[Tensor, "B K L"],
        token_ref_logps: Float[Tensor, "B K L"],
        token_behavior_values: Float[Tensor, "B K L"],
        rewards: Float[Tensor, "B K"],
        finished: Float[Tensor, "B K"],
        lengths: Float[Tensor, "B K"],
        token_where: Bool[Tensor, "B K L"],
        token_weights: Float[Tensor, "B K L"],
        gathered: Gathered,
    ) -> tuple[Counted, Reports]:
        """The loss of each response, and its tokens."""
        tokens = torch.arange(token_logps.shape[2], device=lengths.device) < lengths[..., None]
        divergence = token_behavior_logps - token_ref_logps
        advantages = self._advantages(divergence, token_behavior_values, rewards, finished, tokens)
        returns = advantages + token_behavior_values
        if self.whiten != "none":
            moments = Moments.of(gathered)
            advantages = moments.standard(advantages, sample=self.whiten == "sample", inside=1e-8)
        losses, reports = clipped_tokens(
            token_logps, token_old_logps, advantages, token_where, self.epsilon, self.epsilon
        )
        policy, counts = summed(token_weights * losses, token_where), token_counts(token_where, losses)
        value = summed(self._value_losses(token_values, token_behavior_values, returns), token_where)
        reports = {**reports, "policy": (policy, counts), "value": (value, counts)}
        return (policy + self.value_weight * value, counts), reports

    def _advantages(
        self, divergence: Tensor, values: Tensor, rewards: Tensor, finished: Tensor, tokens: Tensor
    ) -> Float[Tensor, "B K L"]:
        gains = ends_of(tokens) * rewards[..., None] - self.beta * divergence
        return gae(gains, values, finished, tokens, gamma=self.gamma, lam=self.lam)

    def _value_losses(self, values: Tensor, drawn: Tensor, returns: Tensor) -> Float[Tensor, "B K L"]:
        near = drawn + (values - drawn).clamp(-self.value_epsilon, self.value_epsilon)
        return torch.maximum((values - returns).square(), (near - returns).square()) / 2
