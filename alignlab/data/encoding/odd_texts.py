"""Tells of texts that are rendered as they are, and look as if they held more than they should."""

from collections.abc import Collection, Sequence

from alignlab.data.encoding.notes import Notes
from alignlab.types import Example, Message

OPENINGS = (
    *(
        "<|im_start|>",
        "<|start_header_id|>",
        "<start_of_turn>",
        "<|user|>",
        "<|system|>",
        "<s>[INST]",
        "[INST]",
    ),
    *("### Instruction:", "### Human:", "Human:", "USER:", "<|begin_of_text|>", "<|startoftext|>"),
)
"""With what chat templates in use open a conversation."""
FOREIGN = (
    "row %s: its prompt begins with %r, which looks like a mark of another chat template: it is rendered as text "
    "inside the one of this model, here and in all such rows; give prompts without marks"
)
REPEATED = (
    "row %s: each of its responses begins with the text of its prompt, which is then trained on as a part of the "
    "response, here and in all such rows; where that is not meant, leave the prompt out of the responses"
)


def tell_odd_texts(example: Example, notes: Notes, special: Collection[str]) -> None:
    """Warn, once of each kind, of a prompt with marks of another chat template and of responses that repeat it.

    Marks that are special tokens of the tokenizer itself (`special`) are told of elsewhere. Prompts of a single word
    are no sign: an answer may well begin with it.
    """
    asked = example.prompt[-1]["content"].strip()
    opening = next((mark for mark in OPENINGS if asked.startswith(mark)), None)
    if opening and not any(token in opening for token in special):
        notes.tell("foreign marks", FOREIGN % (example.id, opening))
    replies = [_first_text(response) for response in example.responses]
    if " " in asked and replies and all(reply.startswith(asked) for reply in replies):
        notes.tell("repeated", REPEATED % example.id)


def _first_text(response: str | Sequence[Message]) -> str:
    text = response if isinstance(response, str) else response[0]["content"]
    return text.lstrip()
