"""From verdicts to labels: cut responses, ties, verdicts that are not there, and what stays of a list."""

import json
from dataclasses import replace

import pytest
import torch

from alignlab.judges.implicit import log_ratio
from alignlab.judges.judge import Judged
from alignlab.judges.scoring_model import ListScores
from alignlab.online.labels import Labelling
from alignlab.online.listed import of_line
from alignlab.online.pairs import max_min, random, whole
from tests.online.lists import listed
from tests.vectors import more

RAW = Labelling("raw", whole, "whole")
REWARDS = Judged(rewards=(1.0, 3.0, -1.0, 2.0))


def test_rewards_are_labels_as_asked():
    assert RAW(listed(REWARDS)).labels == (1.0, 3.0, -1.0, 2.0)
    assert replace(RAW, to="rank")(listed(REWARDS)).labels == pytest.approx((1 / 3, 1.0, 0.0, 2 / 3))
    logistic = replace(RAW, to="logistic")(listed(REWARDS))
    assert logistic.labels == pytest.approx((0.7310586, 0.9525741, 0.2689414, 0.8807971))
    assert logistic.rewards == REWARDS.rewards


@pytest.mark.parametrize(
    ("unfinished", "kept", "rewards"),
    [
        ("keep", (0, 1, 2, 3), (1.0, 3.0, -1.0, 2.0)),
        ("subtract", (0, 1, 2, 3), (1.0, 1.0, -1.0, 2.0)),
        ("replace", (0, 1, 2, 3), (1.0, 2.0, -1.0, 2.0)),
        ("drop", (0, 2, 3), (1.0, -1.0, 2.0)),
    ],
)
def test_responses_that_were_cut(unfinished, kept, rewards):
    labelling = replace(RAW, unfinished=unfinished, unfinished_reward=2.0)
    one = labelling(listed(REWARDS, (True, False, True, True)))
    assert (one.kept, one.rewards, one.labels) == (kept, rewards, rewards)


@pytest.mark.parametrize(
    ("judged", "finished", "reason"),
    [
        (Judged(rewards=(2.0,) * 4), (True,) * 4, "all tied"),
        (Judged(unsaid="timed out"), (True,) * 4, "not judged: timed out"),
        (Judged(rewards=(None,) * 4), (True,) * 4, "not judged"),
        (REWARDS, (False,) * 4, "no response finished"),
        (REWARDS, (True, False, False, False), "fewer than two responses finished"),
    ],
)
def test_lists_that_teach_nothing_are_dropped_with_the_reason(judged, finished, reason):
    one = replace(RAW, unfinished="drop")(listed(judged, finished))
    assert (one.dropped, one.kept, one.labels) == (reason, (), ())


def test_an_objective_that_compares_nothing_keeps_ties():
    one = replace(RAW, compares=False, keeps_ties=True)(listed(Judged(rewards=(2.0,) * 4)))
    assert (one.dropped, one.labels) == ("", (2.0,) * 4)


def test_preferences_alone_give_the_mean_probability_of_being_better():
    table = tuple(tuple(0.5 + 0.1 * (j - i) for j in range(4)) for i in range(4))
    one = RAW(listed(Judged(preferences=table)))
    assert one.labels == pytest.approx((0.7, 0.5 + 1 / 15, 0.5 - 1 / 15, 0.3))
    assert one.rewards is None


def test_a_builder_says_what_stays():
    one = replace(RAW, builder=max_min)(listed(REWARDS, (True, True, False, True)))
    assert (one.kept, one.labels, one.rewards) == ((1, 2), (3.0, -1.0), (3.0, -1.0))
    labelling = replace(RAW, builder=random)
    pairs = {labelling(listed(REWARDS, row=f"r{i}")).kept for i in range(60)}
    assert pairs == {(i, j) for j in range(4) for i in range(j)}
    assert labelling(listed(REWARDS)).kept == labelling(listed(REWARDS)).kept


def test_a_line_of_the_file_is_the_list_to_the_last_bit():
    one = replace(RAW, to="logistic")(listed(REWARDS, (True, False, True, True)))
    again = of_line(json.loads(json.dumps(one.as_line())))
    assert again.labels == one.labels
    assert again.rollout.token_logps[0].tobytes() == one.rollout.token_logps[0].tobytes()
    assert (again.kept, again.judged, again.texts) == (one.kept, one.judged, one.texts)


def test_preferences_rank_by_mean_probability():
    given = more()["A8_osp"]["outputs"]
    table = tuple(map(tuple, given["debiased"]))
    one = RAW(listed(Judged(preferences=table), (True,) * 3))
    assert one.labels == pytest.approx(given["score"])


def test_a_self_made_label_is_the_same_at_any_beta():
    given = more()["A7_spa"]["inputs"]
    sides = zip(*([given[f"{model}_{side}"] for side in "cr"] for model in ("pi", "ref")), strict=True)
    scores = [[torch.tensor(values, dtype=torch.float64) for values in side] for side in sides]
    for pair in range(3):
        over, under = (
            ListScores(torch.stack([side[which][pair] for side in scores]), (1, 1)) for which in (0, 1)
        )
        kept = [
            replace(RAW, builder=max_min)(
                listed(log_ratio(over, under, beta=beta, per_token=False), (True,) * 2)
            )
            for beta in (0.01, 0.1, 10.0)
        ]
        assert {one.kept for one in kept} == {(0, 1)}
        swapped = (ListScores(one.values.flip(0), (1, 1)) for one in (over, under))
        judged = log_ratio(*swapped, beta=0.1, per_token=False)
        assert replace(RAW, builder=max_min)(listed(judged, (True,) * 2)).kept == (1, 0)


def test_equal_responses_count_once_where_they_are_to_be_distinct():
    one = listed(REWARDS)
    ids = tuple(one.rollout.responses[k] for k in (0, 1, 0, 1))
    one = replace(one, rollout=replace(one.rollout, responses=ids))
    assert replace(RAW, distinct=True)(one).kept == (0, 1)
    assert RAW(one).kept == (0, 1, 2, 3)
