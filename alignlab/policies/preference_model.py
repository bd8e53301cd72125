"""A general preference model as a policy: responses as vectors, and an antisymmetric score for every two of them."""

from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any, Literal

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from alignlab.policies.causal_lm.decoder import unwrapped
from alignlab.policies.policy import References
from alignlab.policies.sequence_head import SequenceHead, adopted
from alignlab.settings import whole
from alignlab.types import Batch


class PreferenceModel(SequenceHead):
    """A policy that gives every two responses of a list a score, `preferences [B, K, K]`: GPM, arXiv:2410.02197.

    Each response is read once, as a vector of `dimension` numbers, an even number; K vectors give K * K scores, which
    unlike differences of values can hold cycles. With `normalize` the vectors have length 1, and a score lies between
    -1 and 1; without, as in the released training, their lengths act as confidence.
    """

    provides = frozenset({"preferences"})

    def __init__(
        self,
        model: Any,
        *,
        packing: Literal["auto", "on", "off"] = "auto",
        dimension: Annotated[int, whole(2, 4096)] = 6,
        normalize: bool = False,
    ) -> None:
        super().__init__(model, packing=packing)
        self.normalize = normalize
        unwrapped(model).config.alignlab_preferences = {"normalize": normalize}

    @classmethod
    def problems(cls, settings: Mapping[str, Any], wanted: Collection[str] = ()) -> Iterator[str]:
        """Yield a message for a dimension that is no even number."""
        dimension = settings.get("dimension", 2)
        if not isinstance(dimension, int) or dimension < 2 or dimension % 2:
            yield f"policy.dimension={dimension}: expected an even number from 2 on"

    @classmethod
    def adopt(cls, model: Any, tokenizer: Any, *, dimension: Annotated[int, whole(2, 4096)] = 6) -> Any:
        """Return a sequence classifier with `dimension` labels: as it is, or a decoder with a new head.

        Raises ConfigError for a classifier of another number of labels, and for an architecture without a classifier.
        """
        return adopted(model, tokenizer, dimension, "preference_model")

    def signals(self, batch: Batch, references: References, wanted: Collection[str]) -> dict[str, Tensor]:
        """Return `preferences [B, K, K]`, in float32 or better; references are not used."""
        vectors_BKD = self.read(batch)
        return {
            "preferences": preferences(F.normalize(vectors_BKD, dim=-1) if self.normalize else vectors_BKD)
        }


def preferences(vectors_BKD: Float[Tensor, "*B K D"]) -> Float[Tensor, "*B K K"]:
    """Return the score by which the first response of every two is preferred to the second, eq. 3 of arXiv:2410.02197.

    s(a, b) = sum over i of a_2i * b_2i+1 - a_2i+1 * b_2i, with -s(a, b) = s(b, a) and s(a, a) = 0 to the bit.

    >>> import torch
    >>> preferences(torch.tensor([[1.0, 0.0], [-0.5, 0.5]]))
    tensor([[ 0.0000,  0.5000],
            [-0.5000,  0.0000]])
    """
    half_BKK = vectors_BKD[..., 0::2] @ vectors_BKD[..., 1::2].transpose(-1, -2)
    return half_BKK - half_BKK.transpose(-1, -2)
