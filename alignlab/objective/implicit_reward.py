"""The reward that a loss gives a response by its log-probability: what metrics and analyses go by."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from alignlab.errors import ConfigError, nearest
from alignlab.objective.term import Term
from alignlab.signals import BASE, REFERENCE, base_names

OVER_TOKENS = ("sum", "mean")


@dataclass(frozen=True)
class ImplicitReward:
    """beta * (logp - ref_logp) of a response, summed over its tokens or their mean.

    Without the reference where the loss has none, or none is at hand.
    """

    beta: float = 1.0
    per_token: bool = False
    against_reference: bool = True

    @property
    def unit(self) -> str:
        """The unit of the reward."""
        return "nats a token" if self.per_token else "nats"

    def __call__(
        self,
        logps: Float[Tensor, "*B K"],
        ref_logps: Float[Tensor, "*B K"] | None,
        lengths: Float[Tensor, "*B K"],
    ) -> Float[Tensor, "*B K"]:
        """The reward of each response, from log-probabilities in nats and lengths in tokens."""
        ratios = logps if ref_logps is None or not self.against_reference else logps - ref_logps
        return self.beta * (ratios / lengths.clamp(min=1) if self.per_token else ratios)


def reward_of(loss: Term, choice: str) -> ImplicitReward:
    """The implicit reward of a loss.

    `choice` is sum or mean over the tokens, or the name of the loss's own option that is one of these.

    Raises ConfigError for any other choice.
    """
    hyper = loss.hyper
    if choice not in (*OVER_TOKENS, *hyper):
        raise ConfigError(f"objective.implicit_reward={choice}: {nearest(choice, [*OVER_TOKENS, *hyper])}")
    contracts = [loss.contract, *([loss.contribution] if loss.contribution else [])]
    names = {name for contract in contracts for signal in contract.signals for name in base_names(signal)}
    return ImplicitReward(
        beta=float(hyper.get("beta", 1.0)),
        per_token=hyper.get(choice, choice) == "mean",
        against_reference=any(BASE[name].of & REFERENCE for name in names),
    )
