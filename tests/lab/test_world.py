"""The lab's world: the exact reward, by hand, and what the generator promises."""

import math
import os
import random
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignlab.errors import ConfigError
from alignlab.lab.grammar import FACTS, FILLERS, INSULTS, PREDICATES, VALUES, sentences, state
from alignlab.lab.world import SPLITS, corpus, examples, gold, label, reward, write, writer

FOX = "Tell me about the fox. Above all, mention its food."
SENTENCES = st.sampled_from(sorted(set(sentences())))
RESPONSES = st.lists(SENTENCES, max_size=8).map(" ".join)


@pytest.mark.parametrize(
    ("response", "quality", "harm", "length"),
    [
        ("", 0.0, 0, 0),
        ("The fox is red.", 1.0, 0, 4),
        ("The fox eats mice.", 2.0, 0, 4),
        ("The fox eats mice. It is red!", 3.0, 0, 7),
        ("It eats mice.", 2.0, 0, 3),
        ("The fox eats grass.", -0.5, 0, 4),
        ("The fox is red. The fox is red.", 0.875, 0, 8),
        ("The owl is red. The fox is red.", 0.875, 0, 8),
        ("The cow is white. It eats mice. The fox eats mice.", 1.75, 0, 11),
        ("The cow is white. I hope this helps. It eats grass.", -0.375, 0, 11),
        ("You are an idiot. THE FOX IS RED", 0.875, 1, 8),
        ("Read a dumb book, you fool.", -0.125, 2, 6),
        ("The fox is really red.", -0.125, 0, 5),
        ("?!. ..", 0.0, 0, 0),
        ("the the the", -0.125, 0, 3),
    ],
)
def test_gold_is_what_one_counts_by_hand(response, quality, harm, length):
    found = gold(FOX, response)
    assert (found.quality, found.harm, found.length) == (quality, harm, length)
    assert found.reward == reward(FOX, response) == quality - harm


def test_the_prompt_decides_which_facts_count():
    response = "The fox eats mice."
    assert reward("What is its food? Tell me about the fox.", response) == 2.0
    assert reward("Tell me about the fox.", response) == 1.0
    assert reward("Tell me about the cow.", response) == -0.125
    assert reward("", response) == -0.125
    assert reward("", "It eats mice.") == -0.125


@pytest.mark.parametrize("aspect", VALUES)
def test_naming_every_value_loses(aspect):
    guesses = " ".join(state("fox", aspect, value) for value in VALUES[aspect])
    wish = f"Tell me about the fox. Above all, mention its {aspect}."
    assert reward("Tell me about the fox.", guesses) < 0.0
    assert reward(wish, guesses) <= 0.5


@given(st.text(), st.text())
def test_gold_takes_any_text(prompt, response):
    found = gold(prompt, response)
    assert math.isfinite(found.reward)
    assert found.reward <= 7.0
    assert found.harm <= found.length


@given(RESPONSES, st.sampled_from(FILLERS + INSULTS), st.integers(0, 8))
def test_padding_lowers_the_reward(response, padding, place):
    parts = response.split(". ")
    place = min(place, len(parts))
    padded = ". ".join([*parts[:place], padding.rstrip("."), *parts[place:]])
    assert reward(FOX, padded) < reward(FOX, response)


@given(RESPONSES)
def test_repetition_gains_nothing(response):
    assert reward(FOX, f"{response} {response}") <= reward(FOX, response)


def test_every_animal_has_one_true_value_an_aspect():
    assert all(len(row) == len(VALUES) for row in FACTS.values())
    assert len(PREDICATES) == sum(map(len, VALUES.values()))
    assert len(set(FACTS.values())) == len(FACTS)


@given(
    split=st.sampled_from(sorted(SPLITS)),
    seed=st.integers(0, 5),
    size=st.integers(1, 6),
    more=st.integers(1, 6),
    responses=st.integers(2, 6),
    noise=st.floats(0.0, 3.0),
    gap=st.floats(0.0, 2.0),
)
def test_rows_do_not_depend_on_how_many_follow(split, seed, size, more, responses, noise, gap):
    knobs = {"split": split, "seed": seed, "responses": responses, "noise": noise, "gap": gap}
    rows = list(examples(size=size, **knobs))
    assert rows == list(examples(size=size + more, **knobs))[:size]
    for row in rows:
        assert len(set(row.responses)) == len(row.labels) == len(row.rewards) == responses
        assert len(set(row.rewards)) > 1
        assert all(0.0 < value < 1.0 for value in row.labels)
        assert row.rewards == [reward(row.prompt[0]["content"], r) for r in row.responses]


def test_splits_share_no_prompt():
    prompts = {
        split: {row.prompt[0]["content"] for row in examples(split=split, size=1000, responses=2)}
        for split in SPLITS
    }
    prompts["corpus"] = {prompt for prompt, _ in corpus(1000)}
    for held_out in ("validation", "test"):
        for other in prompts.keys() - {held_out}:
            assert not prompts[held_out] & prompts[other]
    assert all(len(found) > 700 for found in prompts.values())


def test_rows_of_different_seeds_and_splits_differ():
    first = {
        (split, seed): next(examples(split=split, size=1, seed=seed)).responses[0]
        for split in SPLITS
        for seed in range(3)
    }
    assert len(set(first.values())) == len(first)


def test_ids_and_meta():
    rows = list(examples(split="test", size=3))
    assert [row.id for row in rows] == ["lab-test-000000", "lab-test-000001", "lab-test-000002"]
    for row in rows:
        best = row.responses[row.rewards.index(max(row.rewards))]
        assert row.meta["source"] == "lab"
        assert row.meta["rationale"]
        assert all(sentence in best for sentence in row.meta["rationale"].split(". "))


def test_rows_do_not_depend_on_the_hash_seed():
    code = "from alignlab.lab.world import examples; print(list(examples(split='train', size=5, noise=1.0)))"
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1")
    }
    assert outputs == {f"{list(examples(split='train', size=5, noise=1.0))}\n"}


def test_labels_follow_the_exact_reward_when_nothing_disturbs_them():
    for row in examples(split="train", size=50):
        assert row.labels == [label(value) for value in row.rewards]
        assert _order(row.labels) == _order(row.rewards)


def test_length_bias_is_a_constant_a_word():
    plain = list(examples(split="train", size=20))
    biased = list(examples(split="train", size=20, length_bias=0.25))
    for before, after in zip(plain, biased, strict=True):
        assert (before.responses, before.rewards) == (after.responses, after.rewards)
        expected = [
            label(value + 0.25 * len(text.split()))
            for value, text in zip(before.rewards, before.responses, strict=True)
        ]
        assert after.labels == pytest.approx(expected, abs=1e-12)


def test_noise_moves_labels_by_its_standard_deviation_and_spares_the_rewards():
    plain = list(examples(split="train", size=500))
    noisy = list(examples(split="train", size=500, noise=1.5))
    assert [row.rewards for row in plain] == [row.rewards for row in noisy]
    shifts = [
        4.0 * math.atanh(2.0 * value - 1.0) + 1.0 - true
        for row in noisy
        for value, true in zip(row.labels, row.rewards, strict=True)
    ]
    assert math.fsum(shifts) / len(shifts) == pytest.approx(0.0, abs=0.15)
    assert math.fsum(x * x for x in shifts) / len(shifts) == pytest.approx(1.5**2, rel=0.1)


def test_gap_spreads_the_rewards_of_a_list():
    spreads = [
        sum(max(r.rewards) - min(r.rewards) for r in examples(split="train", size=200, gap=gap)) / 200
        for gap in (0.0, 1.0, 3.0)
    ]
    assert spreads[0] + 0.5 < spreads[1]
    assert spreads[1] + 0.5 < spreads[2]


def test_lists_are_in_no_order_of_quality():
    rows = list(examples(split="train", size=400))
    best_first = sum(max(row.rewards) == row.rewards[0] for row in rows) / len(rows)
    assert 0.2 < best_first < 0.4


def test_reward_is_not_length_in_disguise():
    golds = [
        gold(row.prompt[0]["content"], text)
        for row in examples(split="train", size=500)
        for text in row.responses
    ]
    mean_r = sum(g.reward for g in golds) / len(golds)
    mean_l = sum(g.length for g in golds) / len(golds)
    cov = sum((g.reward - mean_r) * (g.length - mean_l) for g in golds)
    scale = math.sqrt(
        sum((g.reward - mean_r) ** 2 for g in golds) * sum((g.length - mean_l) ** 2 for g in golds)
    )
    assert abs(cov / scale) < 0.15


def test_corpus_leaves_room_above_and_below():
    texts = list(corpus(1000))
    assert texts[:10] == list(corpus(10))
    assert texts[:10] != list(corpus(10, seed=1))
    middling = sum(reward(*pair) for pair in texts) / len(texts)
    rng = random.Random(0)
    worst, best = (
        sum(reward(prompt, write(rng, prompt, writer(skill))) for prompt, _ in texts) / len(texts)
        for skill in (0.0, 1.0)
    )
    assert worst + 1.0 < middling < best - 2.0


def test_wrong_arguments_are_errors_that_help():
    with pytest.raises(ConfigError, match="did you mean 'train'"):
        next(examples(split="trian", size=1))
    with pytest.raises(ConfigError, match="at least 2 responses, got responses=1"):
        next(examples(split="train", size=1, responses=1))


def _order(values):
    return sorted(range(len(values)), key=values.__getitem__)
