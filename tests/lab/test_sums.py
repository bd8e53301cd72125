"""The world of sums: exact answers, splits that share no sum, noise, and a tokenizer that loses nothing."""

import random

import pytest

from alignlab.lab import sums, sums_model


def test_rows_hold_one_right_solution_and_splits_share_no_sum():
    rows = {split: [*sums.examples(split=split, size=60, responses=3)] for split in ("train", "validation")}
    for row in (*rows["train"], *rows["validation"]):
        prompt = row.prompt[0]["content"]
        assert [sums.outcome(prompt, text).solved for text in row.responses] == row.labels == [1.0, 0.0, 0.0]
    asked = [{row.prompt[0]["content"] for row in rows[split]} for split in rows]
    assert not asked[0] & asked[1]
    assert [row.id for row in sums.examples(split="train", size=3)] == [row.id for row in rows["train"][:3]]


@pytest.mark.parametrize(
    ("response", "reward", "steps"),
    [
        ("3+4=7;7+5=12", 1.0, 1.0),
        ("3+4=8;8+5=12", 1.0, 0.0),
        ("3+4=7;7+5=13", -1.0, 0.5),
        ("3+4=7", -1.0, 1.0),
        ("3+4=7;7+5=", -1.0, 0.5),
        ("", -1.0, 0.0),
    ],
)
def test_a_solution_is_worth_what_it_comes_to(response, reward, steps):
    assert sums.outcome("3+4+5=", response) == sums.Outcome(reward, float(reward > 0), steps)


def test_noise_is_the_share_of_wrong_steps():
    rng = random.Random(0)
    texts = [sums.worked(rng, [3, 4, 5, 6], 0.2) for _ in range(400)]
    right = sum(sums.outcome("3+4+5+6=", text).steps for text in texts) / len(texts)
    assert right == pytest.approx(0.8, abs=0.03)


def test_the_tokenizer_gives_texts_back():
    words = sums_model.tokenizer()
    text = "3+4=7;7+15=22"
    assert words.decode(words(text, add_special_tokens=False)["input_ids"]) == text
    assert words.tokenize(text)[:4] == ["3", "+", "4", "="]
