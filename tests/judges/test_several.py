"""Judges made of others: combinations that ask for all rewards, and ensembles."""

import math

import pytest

from alignlab.assembly.judges import judge_problems
from alignlab.config.judges import judges_of
from alignlab.errors import ConfigError
from alignlab.judges.combination import CombinationJudge, log_sigmoid
from alignlab.judges.ensemble import EnsembleJudge
from alignlab.judges.judge import Judged
from alignlab.policies.reward_model import RewardModel
from tests.judges.asked import asked, save_policy


class Fixed:
    """A judge with these verdicts whatever it is asked."""

    def __init__(self, *, rewards=None, wins=None):
        self.identity = f"fixed {rewards} {wins}"
        self.judged = Judged(rewards=rewards, preferences=wins, unsaid=None if rewards or wins else "asleep")

    def __call__(self, lists):
        return [self.judged for _ in lists]


def fixed(**settings):
    return {"_target_": f"{__name__}.Fixed", **settings}


def test_a_combination_asks_for_all_where_a_sum_takes_one_for_the_other():
    nodes = {"kind": fixed(rewards=(9.0, 1.0, -2.0)), "true": fixed(rewards=(-6.0, 1.0, 2.0))}
    plain = CombinationJudge(judges=nodes, transform="none")([asked()])[0].rewards
    both = CombinationJudge(judges=nodes, references={"kind": 0.0, "true": 0.0})([asked()])[0]
    assert plain.index(max(plain)) == 0
    assert both.rewards.index(max(both.rewards)) == 1
    assert both.rewards[1] == pytest.approx(2 * math.log(1 / (1 + math.exp(-1))))
    assert all(value <= min(log_sigmoid(9.0), log_sigmoid(2.0)) for value in both.rewards)
    (quantile,) = CombinationJudge(judges={"kind": nodes["kind"]}, quantile=1.0)([asked()])
    assert quantile.rewards[0] == pytest.approx(-math.log(2))
    assert sorted(quantile.rewards, reverse=True) == list(quantile.rewards)


def test_an_ensemble_is_the_mean_the_least_or_a_lower_bound_of_what_is_said():
    nodes = {"a": fixed(rewards=(1.0, 3.0)), "b": fixed(rewards=(10.0, None)), "c": fixed()}
    judged = {
        join: EnsembleJudge(judges=nodes, join=join, center=False)([asked(responses=["x", "y"])])[0].rewards
        for join in ("mean", "min", "lower_bound")
    }
    assert judged == {"mean": (5.5, 3.0), "min": (1.0, 3.0), "lower_bound": (1.0, 3.0)}
    moved = {"a": fixed(rewards=(1.0, 3.0)), "b": fixed(rewards=(101.0, 103.0))}
    assert EnsembleJudge(judges=moved, join="min")([asked(responses=["x", "y"])])[0].rewards == (-1.0, 1.0)
    asleep = EnsembleJudge(judges={"c": fixed()})([asked()])[0]
    assert asleep.unsaid == "c: asleep"


def test_judges_inside_of_others_are_composed_checked_and_built(tmp_path):
    path = save_policy(RewardModel, tmp_path)
    words = ["judge=ensemble", "+judge@judge.judges.one=reward_model", f"judge.judges.one.path={path}"]
    judge = judges_of(words)["ensemble"]
    (judged,) = judge([asked()])
    assert sum(judged.rewards) == pytest.approx(0, abs=1e-6)
    wrong = {
        "_target_": "alignlab.judges.ensemble.EnsembleJudge",
        "judges": {"one": fixed(), "two": {"path": "/x"}},
    }
    wrong["judges"]["three"] = {"_target_": "alignlab.judges.reward_model.RewardModelJudge", "pth": "/x"}
    problems = "; ".join(judge_problems(wrong))
    assert "judge.judges.two has no _target_" in problems
    assert "judge.judges.three.pth" in problems
    with pytest.raises(ConfigError, match="names none"):
        judges_of(["judge=combination"])


def test_settings_by_name_are_typed_whole():
    aspects = "judge.aspects={helpfulness:2,wit:1}"
    judge = judges_of(["judge=llm", "judge.path=/x", aspects, "judge.criteria={wit:Is it funny?}"])["llm"]
    assert judge.weights == {"helpfulness": 2, "wit": 1}
    assert judge.aspects["wit"] == "Is it funny?"
    words = ["judge=combination", "+judge@judge.judges.kind=gold", "judge.references={kind:0.5}"]
    combined = judges_of([*words, "judge.weights={kind:2}"])["combination"]
    assert (combined.weights, combined.references) == ({"kind": 2}, {"kind": 0.5})
