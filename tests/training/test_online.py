"""Stages that draw their own lists: every objective, killed anywhere and gone on with, bad judges."""

import json
import logging
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from alignlab.errors import AlignlabError, ConfigError, RunError
from alignlab.judges.gold import Gold
from alignlab.judges.judge import Judged
from alignlab.objective.load import load_objective
from alignlab.online.pairs import max_min
from alignlab.online.settings import OnlineSpec
from alignlab.online.written import Rollouts
from alignlab.places import choices
from alignlab.runs.folder import RunFolder
from alignlab.training.settings import MovingSpec
from alignlab.training.spec import Online
from alignlab.training.stage import run_stage
from tests.training.small import small_stage
from tests.training.test_every_objective import TERMS

NOT_DRAWN = {"rationale_dpo": "no judge gives a rationale"}


def offline_only(name):
    """Objectives of policies that draw no text, or of what drawn lists cannot have."""
    return name in NOT_DRAWN or {"values", "preferences"} & load_objective(name).signals


class Told:
    """A judge that says what a function says of each list."""

    identity = "told"

    def __init__(self, say):
        self.say = say

    def __call__(self, asked):
        return [self.say(one) for one in asked]


def drawing(folder, objective="dpo", judge=Gold, builder=None, changes=None, **spec):
    online = Online(OnlineSpec(**{"samples": 4, "max_new_tokens": 8, **spec}), judge)
    if builder:
        online = replace(online, builder=builder, built=builder.__name__)
    stage = small_stage(folder, objective, online=online, **(changes or {}))
    return replace(stage, data=replace(stage.data, lists_per_step=4))


def train(stage, folder):
    return run_stage(stage, RunFolder(folder))


def ids(folder):
    """The ids of all prompts that were drawn for, in their order."""
    files = sorted((folder / "rollouts").glob("step-*.jsonl"))
    rows = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    return [row["id"] for row in rows if "id" in row]


def same(one, other):
    return all(
        torch.equal(a, b) for a, b in zip(one.model.parameters(), other.model.parameters(), strict=True)
    )


@pytest.mark.parametrize("name", [name for name in choices("objective") if not offline_only(name)])
def test_every_objective_trains_on_its_own_lists(name, tmp_path, caplog):
    result = train(drawing(tmp_path, name, changes={"trainer": {"max_steps": 2}}), tmp_path)
    assert result.status == "finished"
    assert "first loss" not in caplog.text
    start = drawing(tmp_path, name).load_model()[0].parameters()
    assert any(not torch.equal(a, b) for a, b in zip(result.model.parameters(), start, strict=True))


@pytest.mark.parametrize(("group", "name"), TERMS)
def test_every_term_trains_on_its_own_lists(group, name, tmp_path):
    if name in ("ties", "rationale"):
        pytest.skip("of reward models, or of rationales, which drawn lists have none of")
    stage = drawing(tmp_path, changes={"hyper": {group: [name]}, "trainer": {"max_steps": 2}})
    assert train(stage, tmp_path).status == "finished"
