"""Stages whose lists a way of drawing makes: segments and trees, killed and gone on with."""

import json
import re
from dataclasses import replace
from functools import partial

import pytest
import torch

from alignlab.errors import ConfigError
from alignlab.judges.active import ActiveJudge
from alignlab.judges.gold import Gold
from alignlab.lab import world
from alignlab.online.listed import of_line
from alignlab.online.segments import Segments
from alignlab.online.settings import OnlineSpec
from alignlab.online.trees.tree import Tree
from alignlab.online.written import Rollouts
from alignlab.training.callbacks.moving_reference import MovingReference
from alignlab.training.settings import MovingSpec
from alignlab.training.spec import Online
from alignlab.training.strategies.engine import Engine
from tests.repository import ROOT
from tests.training.small import load_small, small_stage
from tests.training.test_online import Killed, drawing, ids, same, stopping, train

PAGE = (ROOT / "docs" / "online.md").read_text(encoding="utf-8")
SAPO = {"by": "reference", "samples": 2, "buffer": {"size": 10, "share": 0.0, "choose": "count"}}


def segments(folder, objective="dpo"):
    online = Online(OnlineSpec(max_new_tokens=4, **SAPO), lambda: None, way=Segments())
    stage = small_stage(folder, objective, online=online, trainer={"max_steps": 4})
    moving = replace(stage.reference, moving=MovingSpec("ema", 1, 0.5))
    return replace(stage, data=replace(stage.data, lists_per_step=4), reference=moving)


def trees(folder):
    online = Online(OnlineSpec(samples=3, max_new_tokens=4), Gold, way=Tree(iterations=4, depth=2))
    stage = small_stage(folder, "osp", online=online, trainer={"max_steps": 3})
    return replace(stage, data=replace(stage.data, lists_per_step=2, step_delimiter="a"))


def lists(folder, step):
    lines = Rollouts(folder).file(step).read_text().splitlines()
    return [of_line(json.loads(line)) for line in lines[1:-1]]


@pytest.fixture
def means(monkeypatch):
    """The weights of the moving reference after each step of each run, by the number of steps, in their order."""
    after = []
    moved = MovingReference.on_train_batch_end

    def kept(self, trainer, *arguments):
        moved(self, trainer, *arguments)
        after.append((trainer.global_step, weights(self.reference)))

    monkeypatch.setattr(MovingReference, "on_train_batch_end", kept)
    return after


@pytest.fixture
def drawers(monkeypatch):
    """The weights that drew segments, by the number of steps that the policy had seen, in their order."""
    drew, call = [], Segments.__call__

    def kept(self, starts, by):
        drew.append((by.generator.version, weights(by.generator.model)))
        return call(self, starts, by)

    monkeypatch.setattr(Segments, "__call__", kept)
    return drew


def weights(module):
    return [weight.detach().clone() for weight in module.parameters()]


def equal(one, other):
    return all(map(torch.equal, one, other))


def test_segments_train_from_a_buffer_and_a_killed_run_ends_bit_equal(tmp_path, monkeypatch, means, drawers):
    done = train(segments(tmp_path / "whole"), tmp_path / "whole")
    mean = dict(means)
    assert not equal(mean[4], done.model.parameters())
    assert all(equal(drew, mean[step]) for step, drew in drawers if step)
    assert {step for step, _ in drawers} == {0, 1, 2, 3}
    with monkeypatch.context() as patch:
        patch.setattr(Engine, "update", stopping(Engine.update, 4, after=False))
        with pytest.raises(Killed):
            train(segments(tmp_path / "run"), tmp_path / "run")
    assert same(train(segments(tmp_path / "run"), tmp_path / "run"), done)
    assert ids(tmp_path / "run") == ids(tmp_path / "whole")
    assert equal(means[-1][1], mean[4])
    last = lists(tmp_path / "whole", 3)
    assert {one.rollout.version for one in last} == {3}
    assert all(len(one.rollout.responses) == 2 for one in last)


def answers(*, split, size):
    """Rows of one response each, as fine-tuning has them."""
    for example in world.examples(split=split, size=size):
        best = example.responses[example.labels.index(max(example.labels))]
        yield replace(example, responses=[best], labels=[1.0], rewards=None)


def test_good_responses_alone_train_without_pairs_and_without_a_loss_that_asks_for_the_reference(tmp_path):
    stage = segments(tmp_path, "orpo")
    done = train(replace(stage, data=replace(stage.data, source=answers, form="single")), tmp_path)
    assert done.facts["reference"]["mode"] == "live"
    assert not all(map(torch.equal, done.model.parameters(), load_small()[0].parameters()))
    assert all(one.labels == (1.0, 0.0) for one in lists(tmp_path, 3) if not one.dropped)


def test_trees_train_on_steps_and_a_killed_run_ends_bit_equal(tmp_path, monkeypatch):
    done = train(trees(tmp_path / "whole"), tmp_path / "whole")
    drawn = Rollouts(tmp_path / "whole").past(2)
    assert sum(not one.part for one in drawn.lists) == drawn.after - drawn.head.first
    assert any(one.part for one in drawn.lists)
    assert all(labels[0] > labels[1] and sum(labels) == 1 for labels in (one.labels for one in drawn.trained))
    with monkeypatch.context() as patch:
        patch.setattr(Engine, "update", stopping(Engine.update, 3, after=False))
        with pytest.raises(Killed):
            train(trees(tmp_path / "run"), tmp_path / "run")
    assert same(train(trees(tmp_path / "run"), tmp_path / "run"), done)
    assert ids(tmp_path / "run") == ids(tmp_path / "whole")


def test_a_judge_that_chooses_among_whole_lists_is_refused(tmp_path):
    gold = {"_target_": "alignlab.judges.gold.Gold"}
    stage = trees(tmp_path)
    active = replace(stage.online, make_judge=partial(ActiveJudge, judge=gold, choose="random"))
    with pytest.raises(ConfigError, match="ActiveJudge chooses among the whole lists"):
        train(replace(stage, online=active), tmp_path)
    assert not (tmp_path / "rollouts").exists()


def test_the_loop_of_ones_own_trains_in_few_lines(tmp_path):
    begins = (r"python\n# my_loop\.py", r"yaml\n# @package _global_\n# conf/experiment/my_loop")
    blocks = [re.search(rf"^```({begin}.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)[1] for begin in begins]
    assert sum(len(text.splitlines()) - 1 for text in blocks) <= 40
    own = {}
    exec(blocks[0].removeprefix("python"), own)
    judge, builder = own["Brief"], own["neighbours"]
    stage = drawing(tmp_path, judge=judge, builder=builder, changes={"trainer": {"max_steps": 1}})
    train(stage, tmp_path)
    trained = Rollouts(tmp_path).past(0).trained
    assert trained
    assert all(one.judged.rewards[one.kept[0]] == max(one.judged.rewards) for one in trained)
    assert "brief" in Rollouts(tmp_path).past(0).head.judge
