"""A linear head on a decoder, read at the last token of each response: what reward and preference models share."""

import copy
import logging
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from alignlab.errors import ConfigError, RunError
from alignlab.policies.causal_lm.decoder import decoder_of, unwrapped
from alignlab.policies.causal_lm.packing.layout import Layout
from alignlab.policies.policy import Policy
from alignlab.types import Batch

log = logging.getLogger(__name__)

HEAD = "score"
"""The name of the head in transformers' sequence classifiers."""


class SequenceHead(Policy):
    """A policy that reads a vector off the last token of every response.

    The model is transformers' sequence classifier, whose labels are the dimensions of the vector, and loads as that: it
    reads the last token that is no padding.
    """

    task = "text-classification"
    peft_task = "SEQ_CLS"
    lr_factor = 20.0  # 1e-5 at 7B: a head that starts at nothing, and no reference to stay near

    def verify(self) -> None:
        """Raise RunError where the head at the last hidden state gives another vector than the model itself."""
        verify_head(self.model)

    def encode(self, batch: Batch) -> tuple[Layout, Float[Tensor, "S width"]]:
        """Return how the batch is laid out, and the final hidden state at every position of that."""
        layout = self.form.lay(batch)
        output = decoder_of(self.model)(**layout.inputs, use_cache=False)
        return layout, output.last_hidden_state.flatten(0, 1)

    def read(self, batch: Batch) -> Float[Tensor, "B K D"]:
        """Return the vector of every response, in float32 or better; 0 in empty slots."""
        return batch.slotted(apply_head(self.model, self.last_states(batch)))

    def last_states(self, batch: Batch) -> Float[Tensor, "N width"]:
        """Return the final hidden state at the last token of every response."""
        layout, states = self.encode(batch)
        return states[layout.place[last_tokens(batch)]]

    def export(self, folder: Path) -> None:
        """Save the classifier, with the generation config that names the tokens which end a turn."""
        super().export(folder)
        if (settings := getattr(unwrapped(self.model), "generation_config", None)) is not None:
            settings.save_pretrained(folder)


def adopted(model: Any, tokenizer: Any, size: int, policy: str) -> Any:
    """Return a sequence classifier as it is, or one of a language model's decoder and a new head of `size` outputs.

    `policy` is the name for messages. Raises ConfigError for a classifier of another size, and for an architecture
    without a classifier.
    """
    if not is_classifier(model):
        model = with_new_head(model, size, policy)
    if (labels := model.config.num_labels) != size:
        many = f"{size} labels" if size > 1 else "one label"
        raise ConfigError(
            f"policy={policy} needs a classifier with {many}, and {type(model).__name__} has {labels}: choose another "
            "model.path"
        )
    model.config.pad_token_id = tokenizer.pad_token_id = padding_of(model, tokenizer)
    return model


def last_tokens(batch: Batch) -> Int[Tensor, "N"]:
    """Return the place in the batch of the last token of every response."""
    places_R = torch.nonzero(batch.is_response).squeeze(1)
    return places_R[batch.row_lengths.cumsum(0) - 1]


def first_tokens(batch: Batch) -> Int[Tensor, "N"]:
    """Return the place in the batch of the first token of every response, which the prompt's last one predicts."""
    return last_tokens(batch) - batch.row_lengths + 1


def apply_head(model: Any, hidden: Float[Tensor, "N width"]) -> Float[Tensor, "N D"]:
    """Apply the head to hidden states, in the precision of its weights even under autocast."""
    head = getattr(unwrapped(model), HEAD)
    with torch.autocast(hidden.device.type, enabled=False):
        vectors: Tensor = head(hidden.to(next(head.parameters()).dtype))
    return vectors if vectors.dtype == torch.float64 else vectors.float()


def is_classifier(model: Any) -> bool:
    """Whether a transformers model is a sequence classifier with a head on its decoder."""
    return isinstance(getattr(unwrapped(model), HEAD, None), nn.Module)


def with_new_head(model: Any, size: int, policy: str) -> Any:
    """Return a sequence classifier on a language model's decoder, its head drawn with deviation 1 / (width + 1).

    The head is the same at every call, so that ranks and restarts agree. Raises ConfigError for an architecture that
    transformers has no such classifier for.
    """
    from transformers import AutoModelForSequenceClassification

    decoder: Any = decoder_of(model)
    config = copy.deepcopy(model.config)
    config.num_labels = size
    try:
        with torch.device("meta"):
            classifier: Any = AutoModelForSequenceClassification.from_config(config)  # type: ignore[no-untyped-call]
    except (ValueError, AttributeError) as error:
        raise ConfigError(
            f"policy={policy}: transformers has no sequence classifier for {type(model).__name__}; "
            "choose another model"
        ) from error
    if not is_classifier(classifier):
        raise ConfigError(
            f"policy={policy}: {type(classifier).__name__} has no head '{HEAD}' on its decoder; "
            "choose another model"
        )
    width = getattr(classifier, HEAD).in_features
    noise = torch.randn(size, width, generator=torch.Generator().manual_seed(0)) / (width + 1)
    head = nn.Linear(width, size, bias=False, device=model.device, dtype=model.dtype)
    head.weight.data.copy_(noise)
    setattr(classifier, HEAD, head)
    setattr(classifier, classifier.base_model_prefix, decoder)
    decoder.config.num_labels = size
    classifier.config = decoder.config
    classifier.generation_config = getattr(model, "generation_config", None)
    return classifier.train(model.training)


def padding_of(model: Any, tokenizer: Any) -> int | None:
    """Return a token for padding that no response ends with, so that the plain classifier finds the last token.

    None where the tokenizer has none: the plain classifier then takes one sequence at a time.
    """
    ends = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    ends = {tokenizer.eos_token_id, *(ends if isinstance(ends, list) else [ends])}
    for token in (tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.unk_token_id):
        if token is not None and token not in ends:
            return int(token)
    log.warning(
        "the tokenizer has no token for padding that ends no turn: the exported classifier takes one sequence at a time"
    )
    return None


@torch.no_grad()
def verify_head(model: Any) -> None:
    """Compare the head at the last hidden state with the model's own output; RunError where they differ."""
    device = next(model.parameters()).device
    padding = model.config.get_text_config().pad_token_id
    tokens = torch.tensor([[token for token in range(1, 6) if token != padding][:4]], device=device)
    whole = model(input_ids=tokens, use_cache=False).logits[0].float()
    hidden = decoder_of(model)(input_ids=tokens, use_cache=False).last_hidden_state[0, -1:]
    gap = (apply_head(model, hidden)[0] - whole).abs().max().item()
    if gap > 1e-3 * max(1.0, whole.abs().max().item()):
        raise RunError(
            f"{type(model).__name__}: its score is not that of its head at the last token (they differ by {gap:.2g}); "
            "choose a model whose classifier reads the last hidden state"
        )
