"""OpenAssistant conversations (arXiv:2304.07327): replies ranked by people, no scores.

A list a row:
messages    list of {role, content}: the dialogue up to the user's turn
responses   list of str
ranks       list of int, 0 the best
parent_id, message_tree_id   str, optional

or a tree a row, as published in *.trees.jsonl.gz:
message_tree_id  str, optional
prompt           {text, role: "prompter", replies: [{text, role: "assistant", rank, replies: [...]}, ...]}
"""

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

from alignlab.data.reading.rows import Drop, RowError, column, finite
from alignlab.data.reading.turns import dialogue_of_column
from alignlab.data.sources.columns import by_rank, text_of
from alignlab.types import Example, Message

ROLES = {"prompter": "user", "assistant": "assistant"}


def convert(row: Mapping[str, Any]) -> Iterator[Example]:
    """Convert a list, or a tree into its lists: turns of the user with two or more ranked replies."""
    tree = text_of(row, "message_tree_id")
    if row.get("messages") is None and isinstance(row.get("prompt"), Mapping):
        yield from _lists(row["prompt"], tree)
        return
    dialogue = dialogue_of_column(row, "messages")
    responses, ranks = column(row, "responses", list), column(row, "ranks", list)
    if len(ranks) != len(responses):
        raise RowError("ranks", f"{len(ranks)} ranks for {len(responses)} responses")
    yield _ranked(dialogue, responses, ranks, text_of(row, "parent_id"), tree)


def _lists(root: Mapping[str, Any], tree: str) -> Iterator[Example]:
    """The lists of a tree, from the root down, without deleted turns and all that follows them."""
    waiting: deque[tuple[Mapping[str, Any], list[Message]]] = deque([(root, [])])
    any_ranked = False
    while waiting:
        turn, before = waiting.popleft()
        role = column(turn, "role", str)
        if role not in ROLES:
            raise RowError("prompt", f"role '{role}' is none of {', '.join(ROLES)}")
        dialogue = [*before, {"role": ROLES[role], "content": column(turn, "text", str)}]
        replies = turn.get("replies") or []
        if not isinstance(replies, list) or not all(isinstance(reply, Mapping) for reply in replies):
            raise RowError("replies", f"expected a list of turns, found {replies!r:.60}")
        replies = [reply for reply in replies if reply.get("deleted") is not True]
        ranked = [reply for reply in replies if reply.get("rank") is not None]
        if role == "prompter" and len(ranked) > 1:
            any_ranked = True
            texts = [column(reply, "text", str) for reply in ranked]
            yield _ranked(dialogue, texts, [r["rank"] for r in ranked], text_of(turn, "message_id"), tree)
        waiting.extend((reply, dialogue) for reply in replies)
    if not any_ranked:
        raise Drop("no turn with two ranked replies")


def _ranked(dialogue: list[Message], texts: list[Any], ranks: list[Any], name: str, tree: str) -> Example:
    if len(texts) < 2:
        raise RowError("responses", f"expected at least 2 ranked responses, found {len(texts)}")
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise RowError(f"responses[{i}]", f"expected str, found {text!r:.60}")
    if not all(text.strip() for text in texts):
        raise Drop("an empty reply")
    places = [finite(rank, f"ranks[{i}]") for i, rank in enumerate(ranks)]
    return Example(dialogue, [*texts], by_rank(places), id=name, meta={"tree": tree})
