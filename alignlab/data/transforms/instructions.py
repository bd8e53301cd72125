"""A text that a prompt states beside what it asks: a goal, or the criterion that responses are judged by."""

from alignlab.data.reading.rows import Drop
from alignlab.types import Message

FORMS = ("system", "user", "auto")


def with_instruction(prompt: list[Message], form: str, text: str) -> list[Message]:
    """Return the prompt with a text in its system turn, or before the first user turn (`form=user`).

    The system turn is the row's own, if it has one; auto is system there, else user. Raises Drop where there is no user
    turn to state it in.
    """
    own = [turn["content"] for turn in prompt if turn["role"] == "system"]
    if form == "system" or (form == "auto" and own):
        rest = [dict(turn) for turn in prompt if turn["role"] != "system"]
        return [{"role": "system", "content": "\n\n".join([*own, text])}, *rest]
    first = next((i for i, turn in enumerate(prompt) if turn["role"] == "user"), None)
    if first is None:
        raise Drop("no user turn to state the goal in")
    turns = [dict(turn) for turn in prompt]
    turns[first]["content"] = f"{text}\n\n{turns[first]['content']}"
    return turns
