"""The bench measures what it says: equal rows on all sides, ratios within a round, and a run from end to end."""

import csv
import json
import subprocess
import sys
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from types import SimpleNamespace

import pytest

from tests.repository import ROOT

SCRIPTS = ROOT / "scripts"
ROWS = [
    {"prompt_ids": [3, 4], "responses": [[5], [6, 7], [8]]},
    {"prompt_ids": [9], "responses": [[3, 3, 3], [4], [5, 5]]},
]


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(SCRIPTS)
    names = ("cases", "contenders", "report", "run_floor")
    return SimpleNamespace(**{name: import_module(f"bench.{name}") for name in names})


@pytest.fixture
def small(bench, tmp_path):
    settings = bench.contenders.Settings(
        out=tmp_path, model="nano", threads=1, device="cpu", tokens=2048, warmup=1, steps=1
    )
    case = replace(bench.cases.COMPARED[2], vocabulary=64, lists_per_step=2)
    return bench.contenders.Bench(case, settings)


def run(bench, contender, speed, number=1, peak=100.0, losses=(0.7, 0.6)):
    return bench.contenders.Run("case", contender, number, "", speed, 1 / speed, peak, None, losses)


def test_pairs_of_a_list_as_alignlab_has_them(bench):
    assert bench.cases.pairs_of(4, "best_worst") == [(0, 3)]
    assert bench.cases.pairs_of(4, "best_rest") == [(0, 1), (0, 2), (0, 3)]
    assert bench.cases.pairs_of(3, "all") == [(0, 1), (0, 2), (1, 2)]
    assert [len(bench.cases.pairs_of(k, "all")) for k in (2, 4, 8)] == [1, 6, 28]


def test_rows_are_the_same_each_time_and_within_bounds(bench, tmp_path):
    case = bench.cases.COMPARED[2]
    longest = bench.cases.save_rows(tmp_path / "a.jsonl", case, 6)
    bench.cases.save_rows(tmp_path / "b.jsonl", case, 6)
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()
    rows = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert {len(row["responses"]) for row in rows} == {4}
    assert all(64 <= len(row["prompt_ids"]) <= 192 for row in rows)
    assert longest == max(len(row["prompt_ids"]) + len(r) for row in rows for r in row["responses"])


def test_the_floor_reads_each_token_once(bench):
    tokens, answers = bench.run_floor.packed(ROWS)
    assert tokens.flatten().tolist() == [3, 4, 5, 6, 7, 8, 9, 3, 3, 3, 4, 5, 5, 0]
    assert tokens.shape == (2, 7)
    assert answers.tolist() == [2, 3, 4, 5, 7, 8, 9, 10, 11, 12]
    assert list(bench.run_floor.groups(ROWS, 13)) == [ROWS]
    assert list(bench.run_floor.groups(ROWS, 12)) == [ROWS[:1], ROWS[1:]]
    assert list(bench.run_floor.groups(ROWS, 1)) == [ROWS[:1], ROWS[1:]]


@pytest.mark.skipif(find_spec("trl") is None, reason="TRL is not installed: pip install -e .[bench]")
def test_trl_gets_every_list_as_pairs(bench):
    command = (
        "import json, sys; from bench.run_trl import paired; "
        "print(json.dumps([paired(json.loads(sys.argv[1]), kind, 2) for kind in ('all', 'best_rest')]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", command, json.dumps(ROWS)],
        cwd=SCRIPTS,
        capture_output=True,
        text=True,
        check=True,
    )
    every, rest = json.loads(done.stdout.splitlines()[-1])
    assert (len(every), len(rest)) == (6, 4)
    assert {tuple(pair["chosen_ids"]) for pair in rest} == {(5,), (3, 3, 3)}
    lengths = [len(p["prompt_ids"]) + max(len(p["chosen_ids"]), len(p["rejected_ids"])) for p in every]
    assert lengths == sorted(lengths, reverse=True)


def test_micro_batches_of_trl_divide_a_step_and_stay_within_the_tokens(small):
    assert small._sizes() == [n for n in (12, 6, 4, 3, 2, 1) if 2 * n * small.longest <= 2048]
    flags = small.flags(tune=False)
    assert flags["trl"] is None
    assert flags["trl best"] == {"pairs": small._sizes()[0], "pad_to_multiple_of": None}
    assert flags["trl tuned"] == {"pairs": 1, "pad_to_multiple_of": None}


def test_tuning_takes_what_is_fastest(bench, small, monkeypatch):
    speeds = {"pairs": {1: 1.0, 2: 3.0, 3: 2.0}, "pad_to_multiple_of": {None: 0.0, 16: 0.5}}

    def pretend(contender, flags, number, steps=None):
        if flags.get("pad_to_multiple_of") == 64:
            return None  # it failed
        value = sum(speeds.get(key, {}).get(value, -0.5) for key, value in flags.items())
        return run(bench, contender, 10 + value)

    monkeypatch.setattr(small, "run", pretend)
    assert small.flags(tune=True)["trl tuned"] == {"pairs": 2, "pad_to_multiple_of": 16}


def test_ratios_are_taken_within_a_round(bench):
    runs = [
        run(bench, "alignlab", 20.0, 1, peak=60.0),
        run(bench, "trl best", 8.0, 1, losses=(0.7, 0.61)),
        run(bench, "trl tuned", 10.0, 1, peak=50.0),
        run(bench, "floor", 25.0, 1),
        run(bench, "alignlab", 4.0, 2, peak=60.0),
        run(bench, "trl best", 2.0, 2, peak=120.0, losses=(0.7, 0.61)),
        run(bench, "trl tuned", 1.0, 2),
    ]
    ours = bench.report.lines(runs)[0]
    assert (ours.contender, ours.lists_per_second, ours.slowest, ours.fastest) == (
        "alignlab",
        12.0,
        4.0,
        20.0,
    )
    assert ours.speed_to_trl == 2.0  # of 20 / 10 and 4 / 2
    assert ours.memory_to_trl == pytest.approx((0.6 + 0.5) / 2)
    assert ours.speed_to_floor == 0.8
    assert ours.loss_gap == pytest.approx(0.01)
    case = replace(bench.cases.COMPARED[0], goal=(2.5, 0.6))
    assert list(bench.report.verdicts(case, ours)) == [
        "missed speed to TRL: 2.00, wanted at least 2.5",
        "met    memory to TRL: 0.55, wanted at most 0.6",
        "missed speed to the floor: 0.80, wanted at least 0.9",
    ]


def test_without_rivals_there_is_nothing_to_compare(bench, capsys):
    found = bench.report.lines([run(bench, "alignlab", 20.0)])
    assert (found[0].speed_to_trl, found[0].speed_to_floor, found[0].loss_gap) == (None, None, None)
    bench.report.print_case(bench.cases.COMPARED[0], found)
    assert "wanted" not in capsys.readouterr().out


def test_a_failed_contender_says_where_to_look(small, monkeypatch, capsys):
    monkeypatch.setattr(small, "_other", lambda *_: [sys.executable, "-c", "raise SystemExit(3)"])
    assert small.run("floor", {"tokens": 9}, 1) is None
    assert "floor failed (exit code 3); see " in capsys.readouterr().err


@pytest.mark.exhaustive
@pytest.mark.slow
@pytest.mark.parametrize("rival", [[], pytest.param(["trl best"], marks=pytest.mark.exhaustive)])
def test_the_quick_run(rival, tmp_path):
    if rival and find_spec("trl") is None:
        pytest.skip("TRL is not installed: pip install -e .[bench]")
    names = ["alignlab", *rival, "floor"]
    options = ["--quick", "--model", "nano", "--vocabulary", "512", "--cases", "K=4, best", "--threads", "1"]
    done = subprocess.run(
        [sys.executable, SCRIPTS / "bench_engine.py", *options, "--out", tmp_path, "--contenders", *names],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "failed" not in done.stderr, done.stderr
    for word in ("lists/s", "speed / floor", "reference pass of alignlab", str(tmp_path)):
        assert word in done.stdout
    with (tmp_path / "summary.csv").open(newline="") as stream:
        lines = {line["contender"]: line for line in csv.DictReader(stream)}
    assert list(lines) == names
    assert all(
        float(line["lists_per_second"]) > 0 and float(line["peak_mb"]) > 100 for line in lines.values()
    )
    if rival:
        assert float(lines["alignlab"]["loss_gap"]) < 1e-3
    assert (tmp_path / "runs.csv").is_file()
    assert (tmp_path / "cases.png").is_file()
