"""Rows of each source, by hand: what they become, and what is wrong with those that cannot."""

import pytest

from alignlab.data.reading.rows import Drop, RowError, validate
from alignlab.data.sources import hh_rlhf, local, ultrafeedback, ultrafeedback_binarized


def said(role, text):
    return {"role": role, "content": text}


ASK, RED, BLUE = said("user", "Which?"), said("assistant", "red"), said("assistant", "blue")
OPENING = [said("system", "Be kind."), said("user", "Hello."), said("assistant", "Hi."), ASK]


def shown(example):
    example = validate(example)
    return example.prompt, example.responses, example.labels, example.rewards


DIALOGUE = "\n\nHuman: Hello.\n\nAssistant: Hi.\n\nHuman: Which?\n\nAssistant:"


def test_hh_rlhf_parts_the_dialogue_at_the_last_shared_mark():
    row = {"chosen": DIALOGUE + " red", "rejected": DIALOGUE + " blue\n"}
    assert shown(hh_rlhf.convert(row)) == (OPENING[1:], [[RED], [BLUE]], [1.0, 0.0], None)


def test_hh_rlhf_replies_may_begin_alike_or_contain_each_other():
    row = {"chosen": DIALOGUE + " red fox", "rejected": DIALOGUE + " red"}
    assert shown(hh_rlhf.convert(row))[1] == [[said("assistant", "red fox")], [RED]]


@pytest.mark.parametrize(
    ("chosen", "rejected", "failure", "message"),
    [
        (" red", " red", Drop, "chosen and rejected are identical"),
        (" red", "  ", Drop, "an empty reply"),
        (" red\n\nHuman: Sure?\n\nAssistant: yes", " blue", Drop, "part before the last turn"),
        (None, " blue", RowError, "column 'chosen': missing"),
        (3, " blue", RowError, "column 'chosen': expected str, found int 3"),
    ],
)
def test_hh_rlhf_rows_that_do_not_serve(chosen, rejected, failure, message):
    row = {
        "chosen": DIALOGUE + chosen if isinstance(chosen, str) else chosen,
        "rejected": DIALOGUE + rejected,
    }
    with pytest.raises(failure) as error:
        hh_rlhf.convert(row)
    assert message in str(error.value)


@pytest.mark.parametrize("start", ["no mark at all", "Hello\n\nHuman: Which?\n\nAssistant:"])
def test_hh_rlhf_text_that_is_no_dialogue(start):
    with pytest.raises(RowError, match="column 'chosen'"):
        hh_rlhf.convert({"chosen": start + " red", "rejected": start + " blue"})


RATED = {
    "source": "here",
    "instruction": "Which?",
    "completions": [
        {"response": "red", "overall_score": 10.0, "fine-grained_score": 2.0, "model": "a"},
        {"response": "blue", "overall_score": 1, "fine-grained_score": 5.0, "model": "b"},
        {"response": "green", "overall_score": 5.5, "fine-grained_score": 3.0, "model": "c"},
    ],
}


def test_ultrafeedback_scales_scores_to_labels():
    prompt, responses, labels, rewards = shown(ultrafeedback.convert(RATED))
    assert prompt == [ASK]
    assert [turns[0]["content"] for turns in responses] == ["red", "blue", "green"]
    assert (labels, rewards) == ([1.0, 0.0, 0.5], [10.0, 1.0, 5.5])
    fine = ultrafeedback.convert(RATED, score="fine-grained_score", scale=(1.0, 5.0))
    assert fine.labels == [0.25, 1.0, 0.5]
    nothing = {"ratings": [{}, {}, {}], "critiques": ["", "", ""], "rationales": [{}, {}, {}]}
    assert fine.meta == {"source": "here", "models": ["a", "b", "c"], **nothing}


def test_ultrafeedback_keeps_what_each_aspect_was_rated_and_why():
    said = {
        "honesty": {"Rating": "4", "Rationale": "x"},
        "truth": {"Rating": "N/A", "Rationale": "of its type", "Rationale For Rating": " no facts "},
        "taste": {"Rating": "2.5", "Rationale": None},
    }
    example = ultrafeedback.convert(rated(1, annotations=said, critique="Too blue.\n"))
    assert example.meta["ratings"] == [{}, {"honesty": 4.0, "taste": 2.5}, {}]
    assert example.meta["rationales"] == [{}, {"honesty": "x", "truth": "no facts"}, {}]
    assert example.meta["critiques"] == ["", "Too blue.", ""]


def rated(index, **changes):
    completions = [dict(completion) for completion in RATED["completions"]]
    completions[index] = {k: v for k, v in (completions[index] | changes).items() if v != "absent"}
    return RATED | {"completions": completions}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (RATED | {"completions": RATED["completions"][:1]}, "column 'completions': expected at least 2"),
        (RATED | {"completions": "none"}, "column 'completions': expected list, found str 'none'"),
        (RATED | {"completions": [None, 3]}, "column 'completions[0]': has no 'overall_score'"),
        (rated(1, overall_score="absent"), "column 'completions[1]': has no 'overall_score'"),
        (rated(1, overall_score=float("nan")), "'completions[1].overall_score': expected a finite number"),
        (
            rated(1, overall_score="7"),
            "'completions[1].overall_score': expected a finite number, found str '7'",
        ),
        (rated(1, overall_score=10**400), "'completions[1].overall_score': expected a finite number"),
        (rated(2, overall_score=85.0), "leaves the scale 1.0..10.0; set data.source.scale=[low,high]"),
        (rated(0, response=None), "column 'response': missing"),
        (rated(0, response=" \n"), "column 'responses[0]': the response is empty"),
        (rated(0, response="cut \ud83d"), "column 'responses[0]': no valid Unicode"),
    ],
)
def test_ultrafeedback_rows_that_are_wrong(row, message):
    with pytest.raises(RowError) as error:
        validate(ultrafeedback.convert(row))
    assert message in str(error.value)


BINARIZED = {
    "prompt_id": "p1",
    "chosen": [*OPENING, RED],
    "rejected": [*OPENING, BLUE],
    "score_chosen": 8.0,
    "score_rejected": 9,
}


def test_ultrafeedback_binarized_trusts_the_order_and_keeps_the_scores():
    example = ultrafeedback_binarized.convert(BINARIZED)
    assert shown(example) == (OPENING, [[RED], [BLUE]], [1.0, 0.0], [8.0, 9.0])
    assert example.id == "p1"


@pytest.mark.parametrize(
    ("change", "failure", "message"),
    [
        ({"rejected": [*OPENING, RED]}, Drop, "chosen and rejected are identical"),
        ({"rejected": [*OPENING, said("assistant", " ")]}, Drop, "an empty reply"),
        ({"rejected": [ASK, BLUE]}, RowError, "column 'rejected': does not share its prompt"),
        ({"chosen": []}, RowError, "column 'chosen': expected a list of messages"),
        ({"chosen": [RED], "rejected": [BLUE]}, RowError, "column 'prompt': expected a list of messages"),
        (
            {"chosen": [*OPENING, said("robot", "x")]},
            RowError,
            "turn 4: role 'robot' is none of system, user",
        ),
        ({"chosen": [ASK, said("system", "x"), RED]}, RowError, "turn 1: a system turn may only come first"),
        ({"chosen": [*OPENING, {"role": "assistant"}]}, RowError, "turn 4: expected {role, content}"),
        ({"score_chosen": None}, RowError, "column 'score_chosen': missing"),
        ({"score_rejected": float("inf")}, RowError, "column 'score_rejected': expected a finite number"),
    ],
)
def test_ultrafeedback_binarized_rows_that_do_not_serve(change, failure, message):
    with pytest.raises(failure) as error:
        validate(ultrafeedback_binarized.convert(BINARIZED | change))
    assert message in str(error.value)


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "Which?", "chosen": "red", "rejected": "blue"},
        {"prompt": [ASK], "chosen": "red", "rejected": "blue"},
        {"prompt": [ASK], "chosen": [RED], "rejected": [BLUE]},
        {"prompt": "Which?", "chosen": [RED], "rejected": [BLUE]},
        {"chosen": [ASK, RED], "rejected": [ASK, BLUE]},
        {"prompt": "Which?", "chosen": [ASK, RED], "rejected": [ASK, BLUE]},
        {"prompt": "Which?", "responses": ["red", [BLUE]], "labels": [1, 0.0]},
        {"prompt": [ASK], "responses": '["red", "blue"]', "labels": "[1, 0]"},
    ],
)
def test_local_schemas_that_say_the_same(row):
    assert shown(local.convert(row)) == ([ASK], [[RED], [BLUE]], [1.0, 0.0], None)
