"""The implicit reward that a loss gives a response, which metrics and analyses use."""

from collections.abc import Mapping
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from alignlab.errors import ConfigError, nearest
from alignlab.objective.term import Term
from alignlab.signals import REFERENCE, base_names, provided_by

OVER_TOKENS = ("sum", "mean")
VALUES = "values"
"""The choice of `objective.implicit_reward` for losses on the scores of the policy's scalar head."""


@dataclass(frozen=True)
class ImplicitReward:
    """The reward beta * (logp - ref_logp) of a response, as a sum or a mean over its tokens, or beta * value.

    The reference is left out where the loss has none, or none is available. The beta of a loss of values is one over
    its temperature, so that a difference of rewards is the log-odds that the loss gives a pair.
    """

    beta: float = 1.0
    per_token: bool = False
    against_reference: bool = True
    is_value: bool = False

    @property
    def unit(self) -> str:
        """The unit of the reward: nats, nats a token, or score for a value."""
        return "score" if self.is_value else "nats a token" if self.per_token else "nats"

    def of(self, signals: Mapping[str, Tensor]) -> Float[Tensor, "*B K"]:
        """Return the reward of every response from the signals of a batch."""
        if self.is_value:
            return self.beta * signals["values"]
        return self(signals["logps"], signals.get("ref_logps"), signals["lengths"])

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
    """Return the implicit reward of a loss for a choice: sum, mean, values, or an option that is sum or mean.

    Raises ConfigError for any other choice.
    """
    hyper = loss.hyper
    valid = [*OVER_TOKENS, VALUES, *hyper]
    if choice not in valid:
        raise ConfigError(f"objective.implicit_reward={choice}: {nearest(choice, valid)}")
    contracts = [loss.contract, *([loss.contribution] if loss.contribution else [])]
    names = {name for contract in contracts for signal in contract.signals for name in base_names(signal)}
    is_value = choice == VALUES
    return ImplicitReward(
        beta=1 / float(hyper.get("temperature", 1.0)) if is_value else float(hyper.get("beta", 1.0)),
        per_token=hyper.get(choice, choice) == "mean",
        against_reference=bool(provided_by(names, REFERENCE)),
        is_value=is_value,
    )
