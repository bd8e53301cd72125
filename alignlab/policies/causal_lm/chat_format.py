"""The chat template of a model, as the config names it, and the tokens that end its turns."""

import logging
import re
from typing import Any

from alignlab.data.encoding.named_templates import named_template
from alignlab.data.encoding.rendering import CONTENT, Refusal, Rendering, turn

log = logging.getLogger(__name__)

MARKS = re.compile(r"<\|[a-z_]+\|>|<[a-z]+_of_turn>")
"""The marks of turns in templates that a tokenizer should have as tokens."""


def use_template(model: Any, tokenizer: Any, name: str) -> None:
    """Set the chat template of a tokenizer to the one of this name (or file); both are exported with it.

    Where the template ends an assistant's turn with a token of the vocabulary, that token becomes the tokenizer's EOS,
    and the model's generation stops with it too. Marks that the vocabulary lacks are told, once.
    """
    tokenizer.chat_template = named_template(name)
    vocabulary = tokenizer.get_vocab()
    end = _end_of_turn(tokenizer)
    if end in vocabulary and end != tokenizer.eos_token:
        log.info("model.chat_template=%s: turns end with %s, which is now the EOS token", name, end)
        before, tokenizer.eos_token = tokenizer.eos_token_id, end
        if (generation := getattr(model, "generation_config", None)) is not None:
            own = generation.eos_token_id
            ids = own if isinstance(own, list) else [before if own is None else own]
            generation.eos_token_id = [vocabulary[end], *(i for i in ids if i != vocabulary[end])]
    if missing := sorted(set(MARKS.findall(tokenizer.chat_template)) - vocabulary.keys()):
        log.warning(
            "model.chat_template=%s: the tokenizer has no %s, which are written as letters",
            name,
            ", ".join(missing),
        )


def stop_ids(model: Any) -> list[int]:
    """Return the tokens with which a model ends a turn, by its generation config."""
    ids = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    return [] if ids is None else [ids] if isinstance(ids, int) else list(ids)


def _end_of_turn(tokenizer: Any) -> str:
    """What the template writes behind the content of an assistant's last turn, without white space."""
    try:
        whole = Rendering(tokenizer).one([turn("user", "Sky?"), turn("assistant", CONTENT)])
    except Refusal:  # which is told with the first row
        return ""
    return whole.rpartition(CONTENT)[2].strip()
