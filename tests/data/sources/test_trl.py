"""Rows of TRL's preference types: our lists have the texts that TRL takes for prompt, chosen and rejected."""

import pytest

from alignlab.data.reading.rows import validate
from alignlab.data.sources.local import convert
from tests.data.sources.rows import ASK, BLUE, OPENING, RED, said

data_utils = pytest.importorskip("trl.data_utils", reason="no trl: pip install -e '.[oracles]'")

SYSTEM = said("system", "Be kind.")
LATER = [said("user", "Sure?"), said("assistant", "yes")]
ROWS = {
    "plain, explicit": {"prompt": "The sky is", "chosen": " blue.", "rejected": " green."},
    "plain, implicit": {"chosen": "The sky is blue.", "rejected": "The sky is green."},
    "conversational, explicit": {"prompt": [ASK], "chosen": [RED], "rejected": [BLUE]},
    "conversational, implicit": {"chosen": [*OPENING, RED], "rejected": [*OPENING, BLUE]},
    "conversational, implicit, system": {"chosen": [SYSTEM, ASK, RED], "rejected": [SYSTEM, ASK, BLUE]},
    "conversational, implicit, and a prompt": {
        "prompt": "Which?",
        "chosen": [ASK, RED],
        "rejected": [ASK, BLUE],
    },
    "conversational, implicit, longer replies": {
        "chosen": [ASK, RED, *LATER],
        "rejected": [ASK, BLUE, *LATER],
    },
}


def said_in(text):
    """Roles and texts of a dialogue, or a text without the white space around it."""
    return text.strip() if isinstance(text, str) else [(turn["role"], turn["content"]) for turn in text]


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_paired(row):
    theirs = data_utils.maybe_extract_prompt(row)
    example = convert(row)
    prompt = example.prompt[0]["content"] if isinstance(theirs["prompt"], str) else example.prompt
    assert said_in(prompt) == said_in(theirs["prompt"])
    assert [said_in(r) for r in example.responses] == [said_in(theirs["chosen"]), said_in(theirs["rejected"])]
    assert validate(example).labels == [1.0, 0.0]


@pytest.mark.parametrize("name", ["plain, explicit", "conversational, explicit"])
def test_unpaired(name):
    theirs = data_utils._unpair_row({column: [value] for column, value in ROWS[name].items()})
    for i, label in enumerate((1.0, 0.0)):
        row = {column: values[i] for column, values in theirs.items()}
        example = convert(row)
        assert [said_in(response) for response in example.responses] == [said_in(row["completion"])]
        assert validate(example).labels == [label]
