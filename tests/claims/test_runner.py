"""Jobs in processes of their own: results are kept, failures stop nothing, and what is there is not run again."""

import json
import math
import sys
import time
from pathlib import Path

import pytest

from alignlab.claims.cache import Cache
from alignlab.claims.measures import measured, reference_reward
from alignlab.claims.runner import run_jobs
from alignlab.claims.runs_of import Job
from alignlab.errors import ConfigError
from alignlab.runs.folder import RunFolder

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
SUMMARY = {"status": "finished", "initial": {"gold/reward": 0.5}, "final": {"gold/reward": 2.0}}


def fake_main():
    """In place of a training: a run folder with a summary, or an error."""
    if "seed=13" in sys.argv:
        raise ConfigError("no luck")
    assert "resume=auto" in sys.argv
    folder = Path(next(text for text in sys.argv if text.startswith("hydra.run.dir=")).partition("=")[2])
    RunFolder(folder).write_json("summary.json", SUMMARY)


def run(jobs, cache, until=math.inf):
    seen = []
    run_jobs(
        jobs, cache, fake_main, processes=2, until=until, told=lambda job, _, done: seen.append((job, done))
    )
    return seen


def test_jobs(tmp_path):
    cache, jobs = Cache(tmp_path), [Job((f"seed={seed}",), ("reference_reward",)) for seed in (1, 13, 2)]
    assert set(run(jobs, cache)) == {(jobs[0], True), (jobs[1], False), (jobs[2], True)}
    told = cache.results(jobs[0])
    assert told == {"gold/reward": 2.0, "initial/gold/reward": 0.5, "reference/gold": 0.5}
    assert cache.run(jobs[1]).with_suffix(".log").is_file()
    assert cache.results(jobs[1]) is None
    assert [path.suffix for path in (tmp_path / "runs").iterdir()] == [".log"]
    assert run(jobs, cache) == [(jobs[1], False)]


def test_nothing_begins_when_time_is_up(tmp_path):
    assert run([Job(("seed=1",))], Cache(tmp_path), until=time.monotonic()) == []


def test_the_reference_of_the_last_stage(tmp_path):
    stages = [{"final": {"gold/reward": value}} for value in (1.0, 1.5, 2.0)]
    (tmp_path / "summary.json").write_text(json.dumps({**SUMMARY, "stages": stages}))
    assert reference_reward(RunFolder(tmp_path)) == {"reference/gold": 1.5}
    assert measured(RunFolder(tmp_path), ()) == {"gold/reward": 2.0, "initial/gold/reward": 0.5}
