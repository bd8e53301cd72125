"""The table of a sweep: means and intervals over seeds, the best first, and the command that runs it again."""

import csv
import json
import math

import pytest
from omegaconf import OmegaConf

from alignlab.runs.ranking import minimized, target_of
from alignlab.runs.sweep_summary import FILE, SweepSummary
from tests.config.jobs import leave


@pytest.fixture
def sweep(tmp_path):
    """Two settings of two seeds, one of one seed, one that failed."""
    for job, (beta, seed, reward) in enumerate(
        [(0.1, 0, 1.0), (0.1, 1, 2.0), (0.5, 0, 3.0), (0.5, 1, 5.0), (0.7, 0, 9.0)]
    ):
        place = tmp_path / str(job)
        leave(place, "objective=dpo", f"objective.loss.beta={beta}", f"seed={seed}", gold__reward=reward)
    leave(tmp_path / "10", "objective=dpo", "objective.loss.beta=-1", "seed=0", error="ConfigError: beta")
    leave(tmp_path / "4/stages/01-a", "objective=ipo", gold__reward=99.0)
    return tmp_path


def rows(folder):
    with (folder / FILE).open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_settings_by_their_means(sweep):
    SweepSummary(sweep, "gold/reward", smallest_first=False).write()
    table = rows(sweep)
    assert [row["setting"] for row in table] == [
        f"objective.loss.beta={beta}" for beta in ("0.5", "0.1", "0.7", "-1")
    ]
    assert [row["seeds"] for row in table] == ["2", "2", "1", "0"]
    assert [row["failed"] for row in table] == ["0", "0", "0", "1"]
    assert [float(row["gold/reward"]) for row in table[:3]] == [4.0, 1.5, 9.0]
    quantile = 12.7062  # of Student's t with one degree of freedom; the standard errors are 1 and 0.5
    halves = [float(row["gold/reward_ci95"]) for row in table[:2]]
    assert halves == pytest.approx([quantile, quantile / 2], rel=1e-5)
    assert table[2]["gold/reward_ci95"] == table[3]["gold/reward"] == ""
    assert [row["jobs"] for row in table] == ["2 3", "0 1", "4", "10"]
    assert table[3]["error"] == "ConfigError: beta"
    assert table[0]["command"] == "python train.py objective=dpo objective.loss.beta=0.5 seed=0"


def test_the_other_way_round(sweep):
    SweepSummary(sweep, "gold/reward", smallest_first=True).write()
    assert [row["jobs"] for row in rows(sweep)] == ["0 1", "2 3", "4", "10"]


def test_what_is_printed(sweep, capsys):
    SweepSummary(sweep, "gold/reward", smallest_first=False).show()
    out = capsys.readouterr().out
    assert "4.000 ± 12.706" in out
    assert "9.000 ±" not in out
    assert "job 10 failed: ConfigError: beta" in out
    last = out.strip().splitlines()[-1]
    assert last == "the best again: python train.py objective=dpo objective.loss.beta=0.5 seed=0"


def test_nothing_is_best_where_nothing_was_finished(tmp_path, capsys):
    leave(tmp_path / "0", "seed=0", error="RunError: no")
    SweepSummary(tmp_path, "gold/reward", smallest_first=False).show()
    assert "the best again" not in capsys.readouterr().out


def test_what_is_not_a_number_has_no_place(tmp_path):
    leave(tmp_path / "0", "seed=0", "objective=ipo", val__loss=math.nan)
    leave(tmp_path / "1", "seed=0", "objective=dpo", val__loss=0.5)
    SweepSummary(tmp_path, "val/loss", smallest_first=True).write()
    assert [row["setting"] for row in rows(tmp_path)] == ["objective=dpo", "objective=ipo"]


def test_a_job_that_left_no_word_is_there_too(tmp_path, capsys):
    (tmp_path / "0").mkdir()
    (tmp_path / "0/summary.json").write_text(json.dumps({"steps": 0, "status": "interrupted"}))
    SweepSummary(tmp_path, "val/loss", smallest_first=True).show()
    assert "job 0 interrupted" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("metric", "reward", "expected"),
    [
        ("auto", "alignlab.lab.world.gold", "gold/reward"),
        ("auto", None, "val/rewards/accuracy"),
        ("val/loss", "alignlab.lab.world.gold", "val/loss"),
    ],
)
def test_the_metric(metric, reward, expected):
    config = {"optimized_metric": metric, "evaluation": {"reward": reward}}
    assert target_of(config) == target_of(OmegaConf.create(config)) == expected


@pytest.mark.parametrize(
    ("metric", "direction", "expected"),
    [
        ("val/loss", "auto", True),
        ("gold/kl", "auto", True),
        ("val/rewards/accuracy", "auto", False),
        ("val/rewards/accuracy", "minimize", True),
        ("val/loss", "maximize", False),
    ],
)
def test_the_direction(metric, direction, expected):
    assert minimized(metric, direction) is expected
