"""The released files of benchmarks: what of a row is scored, and rows that are unsound."""

import pytest

from alignlab.data.reading.rows import RowError, validate
from alignlab.data.sources import rewardbench, rewardbench2, rpr

PAIR = {
    "prompt": "Which?",
    "chosen": "red",
    "chosen_model": "m1",
    "rejected": "blue",
    "rejected_model": "m2",
    "subset": "hep-python",
    "id": 30,
}
RAG = {
    "prompt": "Reference [1]: red. Which?",
    "question": "Which?",
    "chosen": "red [1]",
    "chosen_model": "m1",
    "reject": "blue",
    "reject_model": "m2",
    "subset": "citation",
}
FOUR = {
    "id": "7",
    "prompt": "Which?",
    "chosen": ["red"],
    "rejected": ["blue", "green", "grey"],
    "num_correct": 1,
    "num_incorrect": 3,
    "total_completions": 4,
    "models": ["m"] * 4,
    "subset": "Math",
    "additional_metadata": {"category": None},
}
TIED = FOUR | {"id": "tied:3", "chosen": ["red", "rose"], "num_correct": 2, "subset": "Ties"}
RPR = {
    "prompt": "Which?",
    "response_a": "red",
    "response_b": "blue",
    "criteria_x": "Warmth of the colour.",
    "criteria_y": "Calm of the colour",
    "category_x": "warmth",
    "category_y": "calm",
    "scenario_x": "I am cold.",
    "scenario_y": "I am upset.",
    "id": 4,
}


def said(example):
    return [turns[0]["content"] for turns in validate(example).responses]


def test_pairs_keep_their_subset_and_a_tie_of_texts_stays():
    example = rewardbench.convert(PAIR)
    assert said(example) == ["red", "blue"]
    assert (example.id, example.labels, example.meta["subset"]) == ("hep-python/30", [1.0, 0.0], "hep-python")
    assert said(rewardbench.convert(PAIR | {"rejected": "red"})) == ["red", "red"]
    assert said(rewardbench.convert_rag(RAG)) == ["red [1]", "blue"]
    dialogue = [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Hi."}]
    asked = [*dialogue, {"role": "user", "content": "Which?"}]
    assert rewardbench.convert(PAIR | {"prompt": asked}).prompt == asked


def test_right_responses_come_first():
    example = rewardbench2.convert(FOUR)
    assert said(example) == ["red", "blue", "green", "grey"]
    assert example.labels == [1.0, 0.0, 0.0, 0.0]
    tied = rewardbench2.convert(TIED)
    assert (sum(tied.labels), tied.meta["bench_id"]) == (2.0, "tied:3")


@pytest.mark.parametrize(
    ("convert", "row", "message"),
    [
        (rewardbench.convert, {**PAIR, "subset": ""}, "subset.*empty"),
        (rewardbench.convert, {k: v for k, v in PAIR.items() if k != "rejected"}, "rejected"),
        (rewardbench2.convert, {**FOUR, "rejected": []}, "list of texts"),
        (rewardbench2.convert, {**FOUR, "num_incorrect": 2}, "'rejected' has 3 responses"),
        (
            rewardbench2.convert,
            {**FOUR, "chosen": ["red", "rose"], "num_correct": 2},
            "but for Ties there is one",
        ),
    ],
)
def test_unsound_rows_name_their_column(convert, row, message):
    with pytest.raises(RowError, match=message):
        convert(row)


def test_a_row_with_two_criteria_is_two_pairs_that_reverse():
    one, other = rpr.convert(RPR)
    assert (said(one), said(other)) == (["red", "blue"], ["blue", "red"])
    assert one.meta["pair"] == other.meta["pair"]
    assert "Warmth of the colour." in one.prompt[0]["content"]
    assert "Calm of the colour." in other.prompt[0]["content"]
    (cold, _) = rpr.convert(RPR, context="scenario", form="user")
    assert cold.prompt[0]["role"] == "user"
    assert "I am cold" in cold.prompt[0]["content"]
