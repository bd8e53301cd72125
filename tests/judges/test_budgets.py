"""Judges with a budget: who gets a label, what it teaches, and that a run that goes on learns the same."""

from copy import deepcopy

import pytest
import torch

from alignlab.judges.acquisition import acquired, entropy, gap, largest
from alignlab.judges.active import ActiveJudge
from alignlab.judges.discriminator import DiscriminatorJudge
from alignlab.judges.gold import Gold
from alignlab.policies.load import LoadedPolicy
from alignlab.policies.reward_model import RewardModel
from tests.judges.asked import asked, save_policy
from tests.training.small import load_small, small_policy
from tests.vectors import more

GOLD = {"_target_": "alignlab.judges.gold.Gold"}
TEXTS = (
    ("The fox is red.", "It can dig."),
    ("The fox eats mice.", "The fox is blue."),
    ("I hope this helps.", "The fox is red. It eats mice."),
    ("The fox is red.", "The fox is red. The fox is red."),
)


def lists(rounds=1):
    return [asked(f"{turn}-{place}", texts) for turn in range(rounds) for place, texts in enumerate(TEXTS)]


def test_the_vector_of_active_preference_learning():
    told = more()["A13_apl"]
    given, expected = told["inputs"], told["outputs"]
    entropies = [entropy(logps) for logps in given["sample_logps"]]
    certainties = [gap(rewards) for rewards in given["implicit_rewards"]]
    assert (entropies, certainties) == (expected["entropy"], pytest.approx(expected["certainty"]))
    assert sorted(largest(entropies, given["n_entropy"], [0, 1, 2])) == expected["entropy_top"]

    def chosen(choose, count):
        return acquired(entropies, certainties, count, choose=choose, shortlist=given["n_entropy"], key=[0])

    assert chosen("hybrid", given["n_final"]) == expected["final"]
    assert (chosen("entropy", 2), chosen("certainty", 2)) == ([1, 2], [1, 2])
    assert len({*chosen("random", 2)}) == 2


def test_equals_are_chosen_by_the_key_alone():
    choices = {
        tuple(acquired([0.0] * 6, [0.0] * 6, 2, choose="certainty", shortlist=4, key=[seed]))
        for seed in range(30)
    }
    assert len(choices) > 5
    assert choices == {
        tuple(acquired([0.0] * 6, [0.0] * 6, 2, choose="random", shortlist=4, key=[seed]))
        for seed in range(30)
    }


class Counting:
    """An annotator who remembers what was asked."""

    identity = "counting"

    def __init__(self):
        self.asked = []

    def __call__(self, asked):
        self.asked += asked
        return Gold()(asked)


@pytest.mark.parametrize("choose", ["random", "entropy", "certainty", "hybrid"])
def test_an_annotator_is_asked_about_the_chosen_lists_alone_and_the_same_again(choose):
    judge = ActiveJudge(judge=GOLD, labels=2, choose=choose)
    judge.judge = annotator = Counting()
    judge.bind(
        LoadedPolicy(small_policy(), load_small()[1]),
        LoadedPolicy(small_policy(torch.float64), load_small()[1]),
    )
    wide = [asked(str(place), (*texts, "It is red.")) for place, texts in enumerate(TEXTS)]
    judged = judge(wide)
    assert len(annotator.asked) == 2
    assert all(len(one.responses) == 2 for one in annotator.asked)
    labelled = [place for place, one in enumerate(judged) if one.unsaid is None]
    assert [wide[place].id for place in labelled] == [one.id for one in annotator.asked]
    assert all(
        judged[place].rewards[2] is None and None not in judged[place].rewards[:2] for place in labelled
    )
    assert {one.unsaid for one in judged} == {None, "not chosen"}
    assert judge(wide) == judged


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_policy(RewardModel, tmp_path_factory.mktemp("reward") / "model")


def discriminator(model, **settings):
    judge = DiscriminatorJudge(path=model, judge=GOLD, **{"lr": 0.01, **settings})
    judge.judge = Counting()
    return judge


def test_the_vector_of_d2po(model, monkeypatch):
    told = more()["A10_d2po"]
    scores, expected = told["inputs"]["disc_scores"], told["outputs"]
    assert [gap(two) for two in scores] == pytest.approx(expected["gap"])
    judge = discriminator(model, relabels=told["inputs"]["gold_budget"])
    silver = [Gold()([one])[0] for one in lists()]
    silver = [type(one)(rewards=tuple(two)) for one, two in zip(silver, scores, strict=True)]
    monkeypatch.setattr(DiscriminatorJudge, "__call__", lambda self, asked: silver)
    gold = judge.learn(lists())
    assert [place for place, one in enumerate(gold) if one] == expected["conf_selected"]
    assert [one.rewards[0] > one.rewards[1] for one in silver] == expected["silver_label"]


def test_it_never_spends_more_than_its_budget_and_learns_what_it_was_told(model):
    judge = discriminator(model, relabels=3, budget=5, epochs=30)
    before = judge.identity
    drawn = lists()
    spent = [sum(one is not None for one in judge.learn(drawn)) for _ in range(3)]
    assert (spent, len(judge.judge.asked), judge.spent) == ([3, 2, 0], 5, 5)
    assert judge.identity != before
    for one, said in zip(judge.judge.asked, judge(judge.judge.asked), strict=True):
        gold = Gold()([one])[0].rewards
        assert gold[0] == gold[1] or (said.rewards[0] > said.rewards[1]) == (gold[0] > gold[1])


def test_what_it_learned_goes_on_from_a_state_and_from_what_it_was_told(model):
    whole, again = discriminator(model, relabels=2), discriminator(model, relabels=2)
    first, second = lists()[:3], lists(2)[4:]
    whole.learn(first)
    state = deepcopy(whole.state_dict())  # as a checkpoint has it, which what follows does not move
    told = whole.learn(second)
    again.load_state_dict(state)
    again.learn(second, told)
    assert again.judge.asked == []
    assert (again.spent, again.identity) == (whole.spent, whole.identity)
    assert again(first) == whole(first)
