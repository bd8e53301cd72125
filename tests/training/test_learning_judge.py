"""A judge that learns in the loop: a run that was killed goes on with what it had learned, to the last bit."""

from functools import partial

import pytest
import torch

from alignlab.errors import ConfigError
from alignlab.judges.discriminator import DiscriminatorJudge
from alignlab.online.written import Rollouts
from alignlab.policies.reward_model import RewardModel
from tests.judges.asked import save_policy
from tests.training.test_online import drawing, killed, same, train

GOLD = {"_target_": "alignlab.judges.gold.Gold"}
STEPS = {"trainer": {"max_steps": 4}}


@pytest.fixture(scope="module")
def make(tmp_path_factory):
    model = save_policy(RewardModel, tmp_path_factory.mktemp("reward") / "model")
    return partial(DiscriminatorJudge, path=model, judge=GOLD, relabels=2, budget=7, lr=0.01, epochs=2)


def kept(make, judges):
    """Makes a judge, and keeps it to look at."""
    judges.append(make())
    return judges[-1]


@pytest.fixture(scope="module")
def whole(make, tmp_path_factory):
    folder, judges = tmp_path_factory.mktemp("whole"), []
    result = train(drawing(folder, judge=partial(kept, make, judges), samples=2, changes=STEPS), folder)
    return result, folder, judges[0]


def test_each_draw_has_its_gold_labels_and_all_of_them_are_the_budget(whole):
    _, folder, judge = whole
    labelled = [
        sum("gold" in one.judged.aspects for one in Rollouts(folder).past(step).lists) for step in range(4)
    ]
    assert labelled == [2, 2, 2, 1]
    assert (judge.spent, judge.learned) == (7, 4)
    judges = {Rollouts(folder).past(step).head.judge for step in range(4)}
    assert len(judges) == 4  # each step was judged by what it had come to think


@pytest.mark.parametrize(("where", "call"), [("drawing", 4), ("writing", 3), ("update", 2)])
def test_killed_anywhere_it_goes_on_bit_equal(where, call, make, whole, tmp_path, monkeypatch):
    result, folder, judge = whole
    killed(monkeypatch, tmp_path, where, call, steps=4, judge=make, samples=2)
    judges = []
    again = train(drawing(tmp_path, judge=partial(kept, make, judges), samples=2, changes=STEPS), tmp_path)
    assert same(again, result)
    files = [sorted((run / "rollouts").glob("*.jsonl")) for run in (tmp_path, folder)]
    assert [file.read_bytes() for file in files[0]] == [file.read_bytes() for file in files[1]]
    mine, its = judges[0].state_dict(), judge.state_dict()
    assert all(torch.equal(mine["weights"][name], its["weights"][name]) for name in its["weights"])
    assert (mine["spent"], mine["lessons"]) == (its["spent"], its["lessons"])


def test_lists_are_not_drawn_before_it_has_learned_from_those_before_them(make, tmp_path):
    with pytest.raises(ConfigError, match=r"online\.ahead=1 draws lists before this judge has learned"):
        train(drawing(tmp_path, judge=make, ahead=1), tmp_path)
    assert not (tmp_path / "rollouts").exists()
