"""The data bench measures what it says: the same pairs each time, goals by their bounds, a run from end to end."""

import csv
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from types import SimpleNamespace

import pytest

from tests.data import tokenizers_ as kinds
from tests.repository import ROOT

SCRIPTS = ROOT / "scripts"
TINY = {"prompt": (1, 5), "response": (2, 6)}


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(SCRIPTS)
    names = {"pairs": "bench.data_pairs", "growth": "bench.data_growth", "main": "bench_data"}
    return SimpleNamespace(**{name: import_module(module) for name, module in names.items()})


@pytest.fixture
def tokenizer(tmp_path):
    folder = tmp_path / "tokenizer"
    kinds.byte_level().save_pretrained(folder)
    return folder


def test_pairs_are_the_same_each_time_and_within_bounds(bench):
    made = list(bench.pairs.pairs(50, **TINY))
    assert made == list(bench.pairs.pairs(50, **TINY))
    assert made != list(bench.pairs.pairs(50, **TINY, seed=1))
    assert len({row.id for row in made}) == 50
    assert all(len(row.prompt[0]["content"].split()) <= 5 for row in made)
    sizes = {len(turns[0]["content"].split()) for row in made for turns in row.responses}
    assert max(sizes) <= 6
    assert len(sizes) > 2


def test_a_goal_is_met_on_its_side_of_the_bound(bench):
    goal = bench.main.Goal
    assert [goal("x", found, 2.0).met for found in (1.9, 2.0, 2.1)] == [False, True, True]
    assert [goal("x", found, 2.0, at_most=True).met for found in (1.9, 2.0, 2.1)] == [True, True, False]


def test_many_rows_are_all_batched_and_a_cached_run_builds_nothing(bench, tokenizer, tmp_path, monkeypatch):
    built = bench.growth.build(30, tmp_path, tokenizer)
    assert built["lists"] > 0
    assert built["tokens"] > built["lists"]
    assert {
        f"{name}_{what}" for name in ("examples", "tokenize", "batches") for what in ("seconds", "peak_mb")
    } < {*built}
    monkeypatch.setattr("alignlab.data.encoding.prepare._build", lambda *_: pytest.fail("built again"))
    begun = bench.growth.start(30, tmp_path, tokenizer)
    assert {"start_seconds", "resume_begin_seconds", "resume_middle_seconds", "resume_end_seconds"} < {*begun}


def test_a_folder_without_a_tokenizer_is_an_error_with_the_way_out(tmp_path):
    command = [sys.executable, SCRIPTS / "bench_data.py", "--tokenizer", tmp_path, "--out", tmp_path / "out"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "make smollm2" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.exhaustive
@pytest.mark.slow
@pytest.mark.skipif(find_spec("trl") is None, reason="TRL is not installed (extra: bench)")
def test_a_run_from_end_to_end(tokenizer, tmp_path):
    options = {"pairs": 40, "rounds": 1, "rows": 60, "tokenizer": tokenizer, "out": tmp_path / "out"}
    command = [sys.executable, SCRIPTS / "bench_data.py"]
    command += [str(part) for name, value in options.items() for part in (f"--{name}", value)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with (tmp_path / "out/data.csv").open(encoding="utf-8") as stream:
        found = {row["name"]: float(row["found"]) for row in csv.DictReader(stream)}
    assert found["share of rows equal to TRL's"] == 1
    assert len(found) == 8
    for name in found:
        assert name in done.stdout
