"""A language model with a value head, as PPO trains it: actor and critic on one decoder."""

from collections.abc import Collection
from dataclasses import replace
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from alignlab.policies.causal_lm.model import CausalLM
from alignlab.policies.causal_lm.signals import PROVIDED
from alignlab.policies.policy import References
from alignlab.types import Batch


class ActorCritic(CausalLM):
    """A language model that also gives the value of the state at each response token, `token_values [B, K, L]`.

    The state is what is known before the token: the final hidden state that predicts it, under a linear head that
    starts at 0. The head is a part of the training and of its checkpoints; the exported model is the language model.
    """

    provides = PROVIDED | {"token_values"}

    def __init__(self, model: Any, *, packing: Literal["auto", "on", "off"] = "auto") -> None:
        super().__init__(model, packing=packing)
        width = self.sizes["D"]
        self.value_head = nn.Linear(width, 1, device=model.device, dtype=model.dtype)
        nn.init.zeros_(self.value_head.weight)
        nn.init.zeros_(self.value_head.bias)

    def signals(self, batch: Batch, references: References, wanted: Collection[str]) -> dict[str, Tensor]:
        """Return what a language model gives, and `token_values` where they are wanted."""
        if "token_values" not in wanted:
            return super().signals(batch, references, wanted)
        first, others = references
        scores = self(batch, reference=first, others=others, wanted={*wanted, "hidden"})
        tokens = {name: value for name, value in scores.tokens.items() if name in wanted}
        tokens["token_values"] = self._values(scores.tokens["hidden"]).to(scores.logps.dtype)
        return replace(scores, tokens=tokens).signals(batch)

    def _values(self, hidden: Float[Tensor, "R D"]) -> Float[Tensor, "R"]:
        with torch.autocast(hidden.device.type, enabled=False):
            values: Tensor = self.value_head(hidden.to(self.value_head.weight.dtype))
        return values.squeeze(-1)
