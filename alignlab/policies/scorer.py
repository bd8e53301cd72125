"""The module that engines wrap: a policy that takes a batch and returns plain tensors."""

from collections.abc import Collection
from typing import Any

from torch import Tensor, nn

from alignlab.policies.policy import Policy
from alignlab.types import Batch


class Opaque:
    """A wrapper that passes an engine's hooks unchanged; the hooks would take a batch or a reference apart."""

    def __init__(self, *held: Any) -> None:
        self.held = held


class Scorer(nn.Module):
    """A module that returns a batch's signals as a dictionary of tensors, in which engines find those with gradients.

    All weights of the policy that are not in its layers (embeddings, final norm, head) are read inside
    this module's forward, and the head's again in its backward.
    """

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        self.policy = policy

    def forward(self, batch: Opaque, references: Opaque, wanted: Collection[str]) -> dict[str, Tensor]:
        """Return signals by name, as the policy gives them."""
        held: Batch = batch.held[0]
        first, others = references.held
        return self.policy.signals(held, (first, others), wanted)
