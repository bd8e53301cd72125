"""A classifier as a policy: logits of classes, and heads that prefer the clearer of two responses of one class."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from alignlab.errors import ConfigError
from alignlab.policies.attribute_gate import named
from alignlab.policies.policy import References
from alignlab.policies.sequence_head import SequenceHead, adopted, apply_head
from alignlab.settings import Text, whole
from alignlab.types import Batch, Example


class Classifier(SequenceHead):
    """A policy that classifies responses: P2C, Prefer to Classify, arXiv:2306.04925.

    It gives `class_logits [B, K, C]`, by a linear head at the last token, `preference_values [B, K, H]` by `heads`
    others, and `values [B, K]`: the probability of the class that the row names for a response in its rating
    `attribute` (a number from 0), or of the likeliest class where the row names none. The heads of preferences are part
    of the training and of its checkpoints; the exported model is the classifier.
    """

    provides = frozenset({"values", "class_logits", "preference_values"})

    def __init__(
        self,
        model: Any,
        *,
        packing: Literal["auto", "on", "off"] = "auto",
        classes: Sequence[str] = ("negative", "positive"),
        heads: Annotated[int, whole(1, 100)] = 3,
        attribute: Text = "class",
    ) -> None:
        super().__init__(model, packing=packing)
        self.attributes = (attribute,)
        width = self.sizes["D"]
        noise = torch.randn(heads, width, generator=torch.Generator().manual_seed(1)) / (width + 1)
        self.preference_heads = nn.Linear(width, heads, bias=False, device=model.device, dtype=model.dtype)
        self.preference_heads.weight.data.copy_(
            noise
        )  # the same at every call, so that ranks and restarts agree

    @classmethod
    def problems(cls, settings: Mapping[str, Any], wanted: Collection[str] = ()) -> Iterator[str]:
        """Yield a message for fewer than two classes, and for one that is named twice."""
        names = settings.get("classes") or ()
        if len(names) < 2:
            yield f"policy.classes=[{','.join(names)}]: name two classes or more"
        if twice := [name for name, count in Counter(names).items() if count > 1]:
            yield f"policy.classes names {twice[0]} twice: a class has one logit"

    @classmethod
    def row_problems(cls, settings: Mapping[str, Any], rows: Iterable[Example]) -> Iterator[str]:
        """Yield a message where training rows name no class of a response, or one that is not there."""
        attribute, size = settings["attribute"], len(settings["classes"])
        found = False
        for row in rows:
            for ratings in row.meta.get("ratings") or ():
                number = ratings.get(attribute)
                found |= number is not None
                if number is not None and (number != int(number) or not 0 <= number < size):
                    yield (
                        f"row {row.id}: the class of a response is {number:g} (meta.ratings, {attribute}), and "
                        f"policy.classes names {size}: expected a whole number from 0 to {size - 1}"
                    )
                    return
        if not found:
            yield (
                f"policy=classifier: no training row names the class of a response (meta.ratings, {attribute}): make "
                "lists of one class from rated texts with pipeline=[class_pairs], or set policy.attribute"
            )

    @classmethod
    def adopt(cls, model: Any, tokenizer: Any, *, classes: Sequence[str] = ("negative", "positive")) -> Any:
        """Return a sequence classifier with these classes: as it is, or a decoder with a new head.

        Raises ConfigError for a classifier of other classes, and for an architecture without a classifier.
        """
        model = adopted(model, tokenizer, len(classes), "classifier")
        known = classes_of(model)
        if known and known != [*classes]:
            raise ConfigError(
                f"model.path={model.name_or_path} is a classifier of other classes: set "
                f"policy.classes=[{','.join(known)}]"
            )
        model.config.update(named(classes))
        model.config.alignlab_classes = [*classes]
        return model

    def signals(self, batch: Batch, references: References, wanted: Collection[str]) -> dict[str, Tensor]:
        """Return the signals of the class in float32 or better; references are not used."""
        last_ND = self.last_states(batch)
        logits_BKC = batch.slotted(apply_head(self.model, last_ND))
        with torch.autocast(last_ND.device.type, enabled=False):
            heads_NH = self.preference_heads(last_ND.to(self.preference_heads.weight.dtype))
        return {
            "class_logits": logits_BKC,
            "preference_values": batch.slotted(heads_NH.to(logits_BKC.dtype)),
            "values": certainty(logits_BKC, None if batch.ratings is None else batch.ratings[..., 0]),
        }


def classes_of(model: Any) -> list[str]:
    """Return the classes of the folder that a model was loaded from; none where it is no such classifier."""
    return list(getattr(model.config, "alignlab_classes", None) or [])


def certainty(
    logits_BKC: Float[Tensor, "B K C"], classes_BK: Float[Tensor, "B K"] | None = None
) -> Float[Tensor, "B K"]:
    """Return the probability of each response's class, or of the likeliest where its class is not known (NaN, or none).

    >>> certainty(torch.tensor([[[0.0, 1.0], [0.0, 1.0]]]), torch.tensor([[0.0, torch.nan]]))
    tensor([[0.2689, 0.7311]])
    """
    probs_BKC = logits_BKC.softmax(dim=-1)
    likeliest_BK = probs_BKC.amax(dim=-1)
    if classes_BK is None:
        return likeliest_BK
    own_BKC = classes_BK[..., None] == torch.arange(logits_BKC.shape[-1], device=logits_BKC.device)
    return torch.where(own_BKC.any(dim=-1), (probs_BKC * own_BKC).sum(dim=-1), likeliest_BK)
