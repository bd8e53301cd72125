"""The implicit reward that a loss gives a response, which metrics and analyses use."""

from collections.abc import Mapping
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from alignlab.derived import Pairs
from alignlab.errors import ConfigError, nearest
from alignlab.objective.term import Term
from alignlab.signals import REFERENCE, base_names, provided_by

OVER_TOKENS = ("sum", "mean")
VALUES, PREFERENCES = "values", "preferences"
"""The choices of `objective.implicit_reward` for losses on a reward model's values, or a preference model's scores."""


@dataclass(frozen=True)
class ImplicitReward:
    """The reward beta * (logp - ref_logp) of a response, as a sum or a mean over its tokens, or beta * value.

    The reference is left out where the loss has none, or none is available. The beta of a loss of values is one over
    its temperature, so that a difference of rewards is the log-odds that the loss gives a pair. A preference model's
    reward is beta times the mean score of a response against all of its list, as SPPO and GPO take it.
    """

    beta: float = 1.0
    per_token: bool = False
    against_reference: bool = True
    scores: str = ""
    """The signal of a reward or preference model that the loss goes by: values or preferences; empty for others."""

    @property
    def unit(self) -> str:
        """The unit of the reward: nats, nats a token, or score for a value."""
        return "score" if self.scores else "nats a token" if self.per_token else "nats"

    def of(self, signals: Mapping[str, Tensor]) -> Float[Tensor, "*B K"]:
        """Return the reward of every response from the signals of a batch."""
        if self.scores == PREFERENCES:
            present_BK = signals["lengths"] > 0
            counts_B1 = present_BK.sum(dim=1, keepdim=True).clamp(min=1)
            return self.beta * signals[PREFERENCES].sum(dim=2) / counts_B1
        if self.scores:
            return self.beta * signals[self.scores]
        return self(signals["logps"], signals.get("ref_logps"), signals["lengths"])

    def margins(self, signals: Mapping[str, Tensor], pairs: Pairs) -> Float[Tensor, "P"]:
        """Return by how much each pair's chosen response leads: the log-odds that the loss gives it, where it has any.

        That is the difference of rewards, but of a preference model the score of the pair itself.
        """
        if self.scores == PREFERENCES:
            return self.beta * signals[PREFERENCES][pairs.list, pairs.chosen, pairs.rejected]
        rewards = self.of(signals)
        return pairs.take(rewards, "chosen") - pairs.take(rewards, "rejected")

    def __call__(
        self,
        logps: Float[Tensor, "*B K"],
        ref_logps: Float[Tensor, "*B K"] | None,
        lengths: Float[Tensor, "*B K"],
    ) -> Float[Tensor, "*B K"]:
        """Return the reward of every response from log-probabilities in nats and lengths in tokens."""
        ratios = logps if ref_logps is None or not self.against_reference else logps - ref_logps
        return self.beta * (ratios / lengths.clamp(min=1) if self.per_token else ratios)


def reward_of(loss: Term, choice: str) -> ImplicitReward:
    """Return the implicit reward of a loss for a choice: sum, mean, values, preferences, or an option with sum or mean.

    Raises ConfigError for any other choice.
    """
    hyper = loss.hyper
    valid = [*OVER_TOKENS, VALUES, PREFERENCES, *hyper]
    if choice not in valid:
        raise ConfigError(f"objective.implicit_reward={choice}: {nearest(choice, valid)}")
    contracts = [loss.contract, *([loss.contribution] if loss.contribution else [])]
    names = {name for contract in contracts for signal in contract.signals for name in base_names(signal)}
    scores = choice if choice in (VALUES, PREFERENCES) else ""
    return ImplicitReward(
        beta=1 / float(hyper.get("temperature", 1.0)) if scores else float(hyper.get("beta") or 1.0),
        per_token=hyper.get(choice, choice) == "mean",
        against_reference=bool(provided_by(names, REFERENCE)),
        scores=scores,
    )
