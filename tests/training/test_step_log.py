"""The step log says what happened when, in the order in which it happened."""

import json
import math
import time
from unittest.mock import Mock

import lightning as L
import numpy as np
import pytest
import torch

from alignlab.runs.folder import RunFolder
from alignlab.training.callbacks.step_log import StepLog
from alignlab.training.callbacks.validation import Validation
from alignlab.training.datamodule import Sealed
from alignlab.training.module import PreferenceModule
from alignlab.training.peak import peak_memory
from alignlab.training.stage import run_stage
from alignlab.types import Batch
from tests.training.small import small_stage


def events(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


def of(kind, file):
    return [event for event in events(file) if event["event"] == kind]


@pytest.fixture
def module():
    return Mock(spec=PreferenceModule, latest_step={"loss": 0.5}, device=torch.device("cpu"))


@pytest.fixture
def trainer():
    return Mock(spec=L.Trainer, global_step=1)


def step(log, trainer, module, *sizes):
    log.on_train_batch_start(trainer, module, None, 0)
    batches = [Mock(spec=Batch, ids=tuple(map(str, range(size)))) for size in sizes]
    log.on_train_batch_end(trainer, module, None, Sealed(batches), 0)


def test_a_run_logs_its_steps(tmp_path):
    file = tmp_path / "far" / "steps.jsonl"
    stage = small_stage(tmp_path, step_log=file, trainer={"max_steps": 4})
    result = run_stage(stage, RunFolder(tmp_path))
    assert [event["event"] for event in events(file)] == ["ref", "ready", *["step"] * 4, "done"]
    steps = of("step", file)
    assert [event["i"] for event in steps] == [1, 2, 3, 4]
    assert [event["lists"] for event in steps] == [8, 8, 8, 8]
    assert steps[0]["loss"] == pytest.approx(math.log(2), abs=1e-4)
    assert all(0 < event["dt"] < 60 and 0 < event["cpu"] < 60 for event in steps)
    assert of("ref", file)[0]["t"] == pytest.approx(result.timings["reference"], abs=0.01)
    assert 50 < of("done", file)[0]["hwm"] <= peak_memory() + 0.1  # of a rounded number


def test_the_next_run_appends_and_reads_the_reference_from_the_cache(tmp_path):
    file = tmp_path / "steps.jsonl"
    for name in ("one", "two"):
        stage = small_stage(tmp_path / name, step_log=file, cache_dir=tmp_path / "cache")
        run_stage(stage, RunFolder(tmp_path / name))
    assert len(of("done", file)) == 2
    first, second = of("ref", file)
    assert second["t"] < max(first["t"], 0.5)


def test_without_one_there_is_none(tmp_path):
    run_stage(small_stage(tmp_path), RunFolder(tmp_path))
    assert not list(tmp_path.glob("step*.jsonl"))


def test_validation_is_in_no_step(tmp_path, monkeypatch):
    validate = Validation._run

    def slow(self, *inputs, **named):
        time.sleep(0.5)
        validate(self, *inputs, **named)

    monkeypatch.setattr(Validation, "_run", slow)
    file = tmp_path / "steps.jsonl"
    began = time.perf_counter()
    run_stage(
        small_stage(tmp_path, step_log=file, trainer={"validate_every_n_steps": 1}), RunFolder(tmp_path)
    )
    rest = time.perf_counter() - began - sum(event["dt"] for event in of("step", file))
    assert rest > 4 * 0.5


def test_a_step_begins_where_the_one_before_was_left(tmp_path, module, trainer):
    log = StepLog(tmp_path / "steps.jsonl")
    log.on_train_epoch_start(trainer, module)
    time.sleep(0.05)  # the batch is made
    step(log, trainer, module, 2, 3)
    time.sleep(0.2)  # others are at work
    log.others_done.on_train_batch_end(trainer, module, None, None, 0)
    time.sleep(0.05)
    step(log, trainer, module, 4)
    first, second = of("step", log.path)
    assert (first["lists"], second["lists"]) == (5, 4)
    assert 0.05 <= first["dt"] < 0.2
    assert 0.05 <= second["dt"] < 0.2


def test_a_step_begins_with_its_batch_where_nothing_told_the_end_of_the_last(tmp_path, module, trainer):
    log = StepLog(tmp_path / "steps.jsonl")
    log.on_train_epoch_start(trainer, module)
    step(log, trainer, module, 1)
    time.sleep(0.2)
    step(log, trainer, module, 1)
    assert of("step", log.path)[1]["dt"] < 0.2


def test_the_peak_of_memory_stays():
    block = np.ones(2**26)  # 512 MB
    held = peak_memory()
    del block
    assert held > 512
    assert peak_memory() == pytest.approx(held, abs=2)
