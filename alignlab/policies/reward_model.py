"""A reward model as a policy: a scalar head on a decoder, read at the last token of each response."""

from collections.abc import Collection
from typing import Any

from torch import Tensor

from alignlab.policies.policy import References
from alignlab.policies.sequence_head import SequenceHead, adopted, apply_head
from alignlab.types import Batch


class RewardModel(SequenceHead):
    """A policy that gives every response one number, `values [B, K]`, and the hidden state it is read from."""

    provides = frozenset({"values", "embeddings"})

    @classmethod
    def adopt(cls, model: Any, tokenizer: Any) -> Any:
        """Return a sequence classifier with one label: as it is, or a language model's decoder with a new head.

        Raises ConfigError for a classifier of more than one label, and for an architecture without a classifier.
        """
        return adopted(model, tokenizer, 1, "reward_model")

    def signals(self, batch: Batch, references: References, wanted: Collection[str]) -> dict[str, Tensor]:
        """Return `values [B, K]`, and `embeddings [B, K, D]` if wanted, in float32 or better; references go unused."""
        last_ND = self.last_states(batch)
        scores = {"values": batch.slotted(apply_head(self.model, last_ND)).squeeze(-1)}
        if "embeddings" in wanted:
            scores["embeddings"] = batch.slotted(last_ND.to(scores["values"].dtype))
        return scores
