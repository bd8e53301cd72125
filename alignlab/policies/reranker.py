"""A reranker as a policy: the relevance of documents to a query, by a scalar head on a decoder that reads both."""

from collections.abc import Collection
from typing import Any

from torch import Tensor

from alignlab.policies.causal_lm.decoder import unwrapped
from alignlab.policies.policy import References
from alignlab.policies.reward_model import RewardModel
from alignlab.policies.sequence_head import HEAD, adopted
from alignlab.types import Batch


class Reranker(RewardModel):
    """A policy that gives every document of a query one number, `values [B, K]`: a prompt is a query, its responses
    are documents.

    It also gives the hidden state that a value is read from, and the gradient of the value with respect to it, by which
    the gradients of several losses can be compared: DPA-RAG, arXiv:2406.18676.
    """

    provides = frozenset({"values", "embeddings", "value_slopes"})
    task = "text-ranking"

    @classmethod
    def adopt(cls, model: Any, tokenizer: Any) -> Any:
        """Return a sequence classifier with one label: as it is, or a language model's decoder with a new head.

        Raises ConfigError for a classifier of more than one label, and for an architecture without a classifier.
        """
        return adopted(model, tokenizer, 1, "reranker")

    def signals(self, batch: Batch, references: References, wanted: Collection[str]) -> dict[str, Tensor]:
        """Return what a reward model gives, and `value_slopes [B, K, D]` if wanted: the weights of the head."""
        scores = super().signals(batch, references, wanted)
        if "value_slopes" in wanted:
            weights_D = getattr(unwrapped(self.model), HEAD).weight[0].detach()
            weights_D = weights_D.to(scores["values"].dtype, copy=True)
            scores["value_slopes"] = weights_D.expand(*batch.slot.shape, -1)
        return scores
