"""A policy with its adapters switched off, which is its own reference without a second copy of the weights."""

from collections.abc import Collection
from typing import Any

from torch import Tensor

from alignlab.policies.causal_lm.adapters import switched_off
from alignlab.policies.causal_lm.head import Head
from alignlab.policies.causal_lm.model import CausalLM
from alignlab.policies.causal_lm.signals import Encoded
from alignlab.types import Batch


class WithoutAdapter:
    """A policy that scores with its adapters off, to be its own reference without a second copy of the weights."""

    def __init__(self, policy: CausalLM) -> None:
        self.policy = policy

    @property
    def head(self) -> Head:
        """The map from hidden states to logits, with adapters off."""
        return _HeadWithoutAdapter(self.policy.model, self.policy.temperature)

    def encode(self, batch: Batch, *, prompts: bool = False, features: Collection[str] = ()) -> Encoded:
        """Run the decoder with adapters off; the result is that of `CausalLM.encode`."""
        with switched_off(self.policy.model):
            return self.policy.encode(batch, prompts=prompts, features=features)


class _HeadWithoutAdapter(Head):
    """A head that switches adapters off at every call, because the backward computes chunks again."""

    def __init__(self, model: Any, temperature: float) -> None:
        super().__init__(model, temperature)
        self.model = model

    def __call__(self, hidden: Tensor) -> Tensor:
        with switched_off(self.model):
            return super().__call__(hidden)
