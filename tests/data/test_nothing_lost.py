"""Whatever columns, turns and labels a row brings, each of its values is in what is trained on, or in a message."""

import json
from random import Random

import pytest

from alignlab.data.reading.examples import Report, converted
from alignlab.data.reading.rows import Origin
from alignlab.data.sources import local
from alignlab.errors import DataError

ROWS = 600
ROLES = {
    "user": ("user", "human", "User"),
    "assistant": ("assistant", "gpt"),
    "system": ("system", "developer"),
}
TURN_KEYS = (
    "reasoning_content",
    "thinking",
    "name",
    "tool_call_id",
    "timestamp",
    "id",
    "language",
    "refusal",
    "images",
)
CALL_KEYS = ("tool_calls", "function_call")
TEXT_COLUMNS = (
    *(
        "system",
        "system_prompt",
        "prompt",
        "question",
        "instruction",
        "input",
        "query",
        "context",
        "reference",
    ),
    *(
        "source",
        "annotator",
        "category",
        "dataset",
        "prompt_id",
        "id",
        "answer",
        "system_message",
        "developer",
    ),
)
LIST_COLUMNS = (
    "history",
    "messages",
    "conversations",
    "tools",
    "images",
    "documents",
    "tags",
    "videos",
    "audios",
)
NUMBER_COLUMNS = (
    *(
        "margin",
        "weight",
        "score_chosen",
        "score_rejected",
        "chosen_score",
        "rejected_rating",
        "score",
        "label",
    ),
    *("timestamp", "length"),
)


class Maker:
    """Rows at random, in which each value is a text, or a number, that stands nowhere else."""

    def __init__(self, seed):
        self.random = Random(seed)
        self.marks = 0

    def text(self):
        self.marks += 1
        return f"m{self.marks:05}x"

    def number(self):
        self.marks += 1
        return 1 + self.marks / 1024  # exact in binary and in decimal

    def maybe(self, share):
        return self.random.random() < share

    def turn(self, role, odd):
        sharegpt = self.maybe(0.2)
        name = self.random.choice(ROLES[role])
        turn = {"from" if sharegpt else "role": name, "value" if sharegpt else "content": self.text()}
        if self.maybe(0.15):
            blocks = [
                {"type": "text", "text": self.text()},
                {"type": "text", "text": self.text(), **self.odd_block()},
            ]
            turn["value" if sharegpt else "content"] = blocks
        if self.maybe(odd):
            key = self.random.choice(TURN_KEYS)
            turn[key] = self.text()
        if role == "assistant" and self.maybe(odd / 2):
            call = {"function": {"name": self.text(), "arguments": {"q": self.text()}}}
            turn[self.random.choice(CALL_KEYS)] = [call]
        if self.maybe(odd / 4):
            turn[self.random.choice(["weight", "train", "mask"])] = self.random.choice([0, 1, True, False])
        return turn

    def odd_block(self):
        return {"annotations": self.text()} if self.maybe(0.3) else {}

    def turns(self, roles, odd=0.2):
        made = [self.turn(role, odd) for role in roles]
        if self.maybe(0.1) and "assistant" in roles[:-1]:
            made.insert(roles.index("assistant") + 1, {"role": "tool", "content": self.text()})
        return self.cell(made)

    def cell(self, value):
        return json.dumps(value) if self.maybe(0.15) else value

    def dialogue(self):
        roles = ["user", "assistant"] * self.random.randrange(2) + ["user"]
        return self.turns((["system"] if self.maybe(0.2) else []) + roles)

    def asked(self):
        return self.text() if self.maybe(0.5) else self.dialogue()

    def reply(self):
        if self.maybe(0.5):
            return self.text()
        return self.turn("assistant", 0.2) if self.maybe(0.2) else self.turns(["assistant"])

    def whole_dialogues(self):
        shared = self.turns(["user"], odd=0.1)
        shared = json.loads(shared) if isinstance(shared, str) else shared
        sides = {name: [*shared, self.turn("assistant", 0.1)] for name in ("chosen", "rejected")}
        return {name: self.cell(turns) for name, turns in sides.items()}

    def schema(self):
        kind = self.random.choice(["pair", "pair", "whole", "list", "single"])
        asked = {self.random.choice(["prompt", "prompt", "question", "instruction"]): self.asked()}
        if kind == "pair":
            return {**asked, "chosen": self.reply(), "rejected": self.reply()}
        if kind == "whole":
            return self.whole_dialogues()
        if kind == "single":
            return {**asked, "completion": self.reply(), "label": self.maybe(0.5)}
        count = self.random.randrange(2, 5)
        row = {**asked, "responses": [self.reply() for _ in range(count)]}
        row["labels"] = [self.number() for _ in range(count)]
        return row | ({"rewards": [self.number() for _ in range(count)]} if self.maybe(0.5) else {})

    def row(self):
        row = self.schema()
        for _ in range(self.random.choice([0, 1, 1, 2, 3])):
            kind = self.random.choice(["text", "text", "list", "number", "object"])
            if kind == "text":
                row.setdefault(self.random.choice(TEXT_COLUMNS), self.text())
            elif kind == "number":
                row.setdefault(self.random.choice(NUMBER_COLUMNS), self.number())
            elif kind == "object":
                value = self.random.choice(
                    [{self.text(): self.text()}, self.text(), {"tools": [{"name": self.text()}]}]
                )
                row.setdefault(self.random.choice(["meta", "metadata"]), value)
            else:
                row.setdefault(name := self.random.choice(LIST_COLUMNS), self.listed(name))
        return row

    def listed(self, name):
        if name == "history":
            return self.cell([[self.text(), self.text()] for _ in range(self.random.randrange(3))])
        if name in ("messages", "conversations"):
            return self.dialogue()
        if name == "tools":
            return self.cell([{"name": self.text()}] if self.maybe(0.7) else [])
        return [self.text()] if self.maybe(0.7) else []


def values(value, path=()):
    """Each text and number of a row with the keys that lead to it; a cell that holds JSON is read."""
    if isinstance(value, str) and value[:1] in ("[", "{"):
        value = json.loads(value)
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from values(inner, (*path, key))
    elif isinstance(value, list):
        for inner in value:
            yield from values(inner, path)
    elif isinstance(value, (str, float)) and path[-1] not in ("role", "from", "type"):
        yield path, value


def outcome(row):
    """(the example or None, everything that was said of the row)."""
    report = Report()
    try:
        (example,) = converted([(Origin("rows.jsonl", 1), row)], local.convert, report, skip_bad=False)
    except DataError as error:
        return None, str(error)
    return example, report


@pytest.fixture(scope="module")
def outcomes():
    maker = Maker(seed=17)
    return [(row, *outcome(row)) for row in (maker.row() for _ in range(ROWS))]


def test_every_value_is_read_or_told(outcomes):
    lost = []
    for row, example, told in outcomes:
        if example is None:
            continue
        kept = json.dumps([example.prompt, example.responses, example.meta, example.id])
        numbers = {*example.labels, *(example.rewards or []), example.weight, example.meta.get("margin")}
        for path, value in values(row):
            used = value in numbers if isinstance(value, float) else value in kept
            names = {path[0], f"{path[0]}.{path[-1]}", ".".join(path[:2]), ".".join(path)}
            if not used and not names & {*told.ignored}:
                lost.append((path, value, row))
    assert lost == []


def test_texts_stand_on_their_side(outcomes):
    """What is asked is never learned, and an answer is never asked."""
    for row, example, _ in outcomes:
        if example is None:
            continue
        asked, learned = json.dumps([example.prompt, example.meta]), json.dumps(example.responses)
        for path, value in values(row):
            if isinstance(value, str) and path[0] not in ("chosen", "rejected", "responses", "completion"):
                assert value not in learned, (path, row)
            elif isinstance(value, str) and "prompt" in row:
                assert value not in asked, (path, row)


def test_refusals_name_a_column_of_the_row_and_the_way_out(outcomes):
    refused = [(row, told) for row, example, told in outcomes if example is None]
    assert 0.05 * ROWS < len(refused) < 0.5 * ROWS
    for row, told in refused:
        column = told.split("column '")[1].split("'")[0].partition("[")[0].partition(".")[0]
        assert column in row or column in ("prompt", "meta"), told
        assert "data." in told.split("column '")[1]
