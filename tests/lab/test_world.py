"""The lab's lists: what the generator promises, and what each knob does."""

import hashlib
import json
import math
import os
import random
import statistics
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignlab.data.tables.identity import identity
from alignlab.errors import ConfigError
from alignlab.lab.cycle import move, win, win_rates
from alignlab.lab.reading import asked
from alignlab.lab.reward import gold, label, reward
from alignlab.lab.world import examples
from alignlab.lab.writers import SPLITS, corpus, write, writer


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


def test_where_the_model_lies_does_not_decide_the_rows():
    here, there = (identity(partial(examples, seed=1, cache_dir=place)) for place in ("/here", "/there"))
    assert here == there != identity(partial(examples, seed=2, cache_dir="/here"))


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
    for_another = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert for_another.stdout == f"{list(examples(split='train', size=5, noise=1.0))}\n"


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


def test_the_world_stays_as_it_is_by_default():
    digest = hashlib.sha256()
    for split in SPLITS:
        for row in examples(split=split, size=60):
            digest.update(json.dumps([row.prompt, row.responses, row.labels, row.rewards]).encode())
    assert digest.hexdigest()[:16] == "0c514e6cce270bc1"


def test_ratings_hold_the_aspects_whatever_the_judges_think():
    judged = {"users": {"brief": {"length": -0.2}}, "grades": 5, "noise": 1.0}
    for row in (*examples(split="train", size=20), *examples(split="train", size=20, **judged)):
        for text, rating in zip(row.responses, row.meta["ratings"], strict=True):
            found = gold(row.prompt[0]["content"], text)
            assert rating == {name: getattr(found, name) for name in ("reward", "quality", "harm", "length")}


def test_skill_moves_all_writers():
    means = [
        statistics.fmean(
            r for row in examples(split="train", size=100, skill=skill, gap=0.2) for r in row.rewards
        )
        for skill in (0.1, 0.5, 0.9)
    ]
    assert means[0] + 1.0 < means[1] < means[2] - 1.0


def test_topics_are_what_prompts_ask_about():
    rows = list(examples(split="train", size=60, topics=["fox", "cow"]))
    assert {asked(row.prompt[0]["content"])[0] for row in rows} == {"fox", "cow"}


def test_harmful_insults_the_worst_response_of_a_share_of_the_lists():
    plain, hit = (
        [row.meta["ratings"] for row in examples(split="train", size=300, skill=1.0, gap=0.0, harmful=share)]
        for share in (0.0, 0.4)
    )
    assert not any(rating["harm"] for ratings in plain for rating in ratings)
    insulted = [ratings for ratings in hit if any(rating["harm"] for rating in ratings)]
    assert 0.3 < len(insulted) / len(hit) < 0.5
    for ratings in insulted:
        (bad,) = (rating for rating in ratings if rating["harm"])
        assert bad["harm"] >= 2
        assert bad["reward"] == min(rating["reward"] for rating in ratings)


def test_grades_are_ratings_with_ties():
    rows = list(examples(split="train", size=200, grades=4))
    assert {reward for row in rows for reward in row.rewards} == {1.0, 2.0, 3.0, 4.0}
    assert all(row.labels == [(reward - 1) / 3 for reward in row.rewards] for row in rows)
    assert sum(len(set(row.labels)) < 4 for row in rows) > 100


def test_users_weigh_the_aspects_in_their_own_way():
    users = {"plain": {}, "brief": {"length": -0.2}, "blunt": {"harm": 0.0}}
    rows = list(examples(split="train", size=300, users=users))
    counts = Counter(row.meta["user"] for row in rows)
    assert set(counts) == set(users)
    assert all(70 < count < 130 for count in counts.values())
    for row, plain in zip(rows, examples(split="train", size=300), strict=True):
        assert row.responses == plain.responses
        own = {"quality": 1.0, "harm": -1.0, "length": 0.0, **users[row.meta["user"]]}
        expected = [sum(own[name] * rating[name] for name in own) for rating in row.meta["ratings"]]
        assert row.rewards == pytest.approx(expected, abs=1e-12)
        assert row.labels == pytest.approx([label(value) for value in expected], abs=1e-12)


def test_cyclic_lists_are_judged_by_the_game_alone():
    rows = list(examples(split="train", size=200, responses=3, cyclic=0.5))
    ruled = [row for row in rows if row.rewards is None]
    assert 70 < len(ruled) < 130
    assert all(row.labels == win_rates(row.responses) and len(set(row.labels)) > 1 for row in ruled)
    assert all(move(text) is not None for row in ruled for text in row.responses)
    assert all(row.meta["wins"][0][1] == win(*row.responses[:2]) for row in ruled)
    assert all(row.labels == [label(value) for value in row.rewards] for row in rows if row.rewards)


def test_sources_take_turns_and_have_their_own_settings():
    sources = {"easy": {"gap": 1.0}, "hard": {"gap": 0.1, "responses": 2}}
    rows = list(examples(split="train", size=200, sources=sources))
    assert [row.meta["source"] for row in rows[:4]] == ["easy", "hard", "easy", "hard"]
    assert [len(row.responses) for row in rows[:4]] == [4, 2, 4, 2]
    assert (
        rows[::2]
        == [replace(row, meta={**row.meta, "source": "easy"}) for row in examples(split="train", size=200)][
            ::2
        ]
    )


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"split": "trian"}, "did you mean 'train'"),
        ({"responses": 1}, "data.source.responses=1: expected a whole number from 2 to 64"),
        ({"kin": "tre"}, "data.source.kin=tre: did you mean 'tree'"),
        ({"kin": "edits", "responses": 9}, "lists of at most 8"),
        ({"kin": "tree", "on_policy": 0.5}, "a tree is written"),
        ({"harmful": 1.5}, "a share between 0 and 1"),
        ({"temperature": 0.0}, "a number above 0"),
        ({"grades": 1}, "a whole number from 2 to 1000"),
        ({"topics": ["fux"]}, "did you mean 'fox'"),
        ({"users": {"brief": {"lenght": 1.0}}}, "data.source.users.brief=lenght: did you mean 'length'"),
        ({"sources": {"a": {"gaps": 1.0}}}, "data.source.sources.a.gaps: did you mean 'gap'"),
        ({"samples": 1}, "set data.source.cache_dir"),
        ({"samples": 1, "policy": "/nowhere"}, "no folder with a model"),
    ],
)
def test_wrong_settings_are_errors_that_help(knobs, message):
    with pytest.raises(ConfigError, match=message):
        list(examples(**{"split": "train", "size": 1, **knobs}))


def _order(values):
    return sorted(range(len(values)), key=values.__getitem__)
