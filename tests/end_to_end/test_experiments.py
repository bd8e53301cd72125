"""Every file of conf/experiment trains: here for three steps, on an embedded world and its model."""

import pytest

from alignlab.objective.load import read_choice
from alignlab.places import choices
from tests.end_to_end.command import SMALL, summary

SHORT = "++online.max_new_tokens=8"
MORE = {
    **{key: [SHORT] for key in ("ilr_dpo", "oaif", "spin", "unpaired_online", "xpo")},
    **{key: [SHORT] for key in ("active", "best_of_n", "hypo", "on_policy_study", "raft")},
    "rso": [SHORT, "online.samples=16"],
    "d2po": [
        'recipe.overrides.reward=["pipeline=[pairs]"]',
        'recipe.overrides.policy=["+judge@judge.judge=gold","online.samples=2","online.max_new_tokens=8"]',
    ],
    **{key: [SHORT, "judge=relevance"] for key in ("osp", "self_rewarding")},
    "mcts_dpo": ["online.draw.iterations=3"],
}
"""What makes draws, trees and first stages short; and who judges where the model of the embedded world cannot, which
knows no letters."""
OWN_WORLD = ("mcts_dpo",)
"""Experiments on another embedded world, which they choose."""


@pytest.mark.slow
@pytest.mark.parametrize("experiment", choices("experiment"))
def test_trains(experiment, command, tmp_path):
    data = [] if experiment in OWN_WORLD else ["data=lab"]
    line = (f"experiment={experiment}", *data, *SMALL, "trainer.max_steps=3", "hydra.run.dir=run")
    done = command(*line, *MORE.get(experiment, []))
    assert done.code == 0, done.err
    told = summary(tmp_path / "run")
    assert told["status"] == "finished"
    assert told["steps"] == 3 * max(1, len(told.get("stages", [])))
    assert told["final"]["val/loss"] != told["initial"]["val/loss"]


@pytest.mark.parametrize("experiment", choices("experiment"))
def test_its_runs_are_named_after_it(experiment):
    assert read_choice("experiment", experiment)["run_name"] == experiment
