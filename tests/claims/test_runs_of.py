"""Runs of a claim: how many, with which overrides, and which search chooses what."""

import pytest

from alignlab.claims.claim import Arm
from alignlab.claims.runs_of import Job, merged
from tests.claims.made import plan_of, results_of


def test_both_sides_are_searched_alike():
    plan = plan_of()
    assert plan.count() == 2 * 2 * 2 + 2 * 5
    lines = [job.overrides for job in plan.search()]
    for name in ("ipo", "dpo"):
        own = [line for line in lines if f"objective={name}" in line]
        assert [line[-2:] for line in own] == [
            (f"optimizer.lr={lr}", f"seed={seed}") for lr in (0.1, 0.2) for seed in (101, 102)
        ]


def test_the_best_mean_is_judged():
    plan = plan_of()
    results = results_of(plan, {}, best=0.1)
    assert plan.chosen(results) == {"ours": 0.1, "theirs": 0.1}
    jobs = plan.judging(results)
    assert len(jobs) == 10
    assert all("optimizer.lr=0.1" in job.overrides for job in jobs)
    assert not {job.overrides[-1] for job in jobs} & {"seed=101", "seed=102"}


def test_an_arm_whose_search_is_not_done_waits():
    plan = plan_of()
    whole, missing = results_of(plan, {}), plan.search()[0]
    assert plan.chosen(lambda job: None if job == missing else whole(job)).keys() == {"theirs"}


def test_an_arm_may_take_what_another_found():
    arms = {"short": Arm(["data.limit=8"], tuned_as="long"), "long": Arm()}
    plan = plan_of(arms=arms)
    assert plan.tuned() == ["long"]
    assert plan.chosen(results_of(plan, {})) == {"short": 0.2, "long": 0.2}


def test_without_a_search_all_runs_judge():
    plan = plan_of(search=None)
    assert plan.search() == []
    assert len(plan.judging(lambda job: None)) == plan.count() == 10


def test_small_is_the_same_in_miniature():
    plan = plan_of(small=True)
    assert (len(plan.seeds), len(plan.tuning_seeds), len(plan.values)) == (2, 1, 2)
    assert all("trainer.max_steps=2" in job.overrides for job in plan.search())
    assert not {job.key for job in plan.search()} & {job.key for job in plan_of().search()}


def test_the_last_of_a_key_counts():
    assert merged(["a=1", "+b=2"], ["b=3"], ["a=1"]) == ["b=3", "a=1"]


@pytest.mark.parametrize("other", [Job(("a=2",)), Job(("a=1",), ("ranking",)), Job(("a=1",), (), ("x",))])
def test_another_run_has_another_key(other):
    assert other.key != Job(("a=1",)).key
    assert Job(("a=1", "b=2")).key == Job(("b=2", "a=1")).key
