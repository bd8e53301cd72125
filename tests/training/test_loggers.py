"""Several loggers at once: each keeps every metric, takes back what a resume repeats, and may fail."""

import errno
import logging
from dataclasses import replace
from importlib.metadata import PackageNotFoundError

import pytest
from lightning.pytorch.loggers.logger import Logger

from alignlab.assembly.build import make_loggers
from alignlab.errors import ConfigError
from alignlab.runs.folder import RunFolder
from alignlab.training.loggers.csv_log import CsvLog
from alignlab.training.loggers.guarded import Guarded, guarded
from alignlab.training.loggers.tensorboard_log import FOLDER, SHOWN_SAMPLES, TensorBoardLog, log_samples
from alignlab.training.stage import run_stage
from tests.config.compose import composed, problem
from tests.training.small import small_stage
from tests.training.test_csv_log import rows

GONE = ConnectionError("network is unreachable")


class Broken(Logger):
    """Works for so many reports; then the network is gone."""

    name, version = "broken", "0"

    def __init__(self, works=0, error=GONE):
        super().__init__()
        self.works, self.error, self.calls = works, error, 0

    def log_metrics(self, metrics, step=None):
        self.calls += 1
        if self.calls > self.works:
            raise self.error

    def log_hyperparams(self, *args, **kwargs):
        """Settings are of no interest here."""

    def finalize(self, status):
        raise self.error


def told(caplog):
    return [record.getMessage() for record in caplog.records if "left out" in record.getMessage()]


@pytest.mark.parametrize(
    "error",
    [
        ConnectionError("network is unreachable"),
        OSError(errno.ENOSPC, "No space left"),
        ZeroDivisionError("a bug"),
    ],
)
def test_a_logger_that_fails_is_told_of_once_and_stops_nothing(error, tmp_path, caplog):
    broken = Broken(works=2, error=error)
    stage = small_stage(tmp_path)
    loggers = [Guarded(broken), Guarded(CsvLog(tmp_path / "metrics.csv"))]
    with caplog.at_level(logging.WARNING):
        result = run_stage(replace(stage, make_loggers=lambda: loggers), RunFolder(tmp_path))
    assert (result.status, result.steps) == ("finished", 3)
    assert broken.calls == 3
    assert told(caplog) == [
        f"logger broken failed ({type(error).__name__}: {error}): it is left out, training goes on"
    ]
    assert [row["step"] for row in rows(tmp_path / "metrics.csv") if row["train/loss"]] == ["1", "2", "3"]


def test_a_full_disk_under_metrics_csv_stops_nothing(tmp_path, caplog, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("alignlab.training.loggers.csv_log.write_text", full)
    loggers = guarded("csv", lambda: CsvLog(tmp_path / "metrics.csv"))
    with caplog.at_level(logging.WARNING):
        result = run_stage(small_stage(tmp_path, make_loggers=lambda: loggers), RunFolder(tmp_path))
    assert result.status == "finished"
    assert len(told(caplog)) == 1


def test_a_logger_that_cannot_be_made_is_left_out_but_a_wrong_choice_is_an_error(caplog):
    def unreachable():
        raise ConnectionError("no route")

    def misspelt():
        raise ConfigError("no such mode")

    assert guarded("wandb", unreachable) == []
    assert told(caplog) == [
        "logger wandb failed (ConnectionError: no route): it is left out, training goes on"
    ]
    with pytest.raises(ConfigError, match="no such mode"):
        guarded("wandb", misspelt)


def test_a_stop_goes_through():
    """Signals are no failures of a logger."""
    guard = Guarded(Broken(error=KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        guard.log_metrics({"a": 1.0}, 1)
    assert not guard.failed


def scalars(folder):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    return {
        tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]
    }


def chosen(folder, *names):
    config = composed(f"logger=[{','.join(names)}]")
    return lambda: make_loggers(config, RunFolder(folder), {"name": "run", "group": ""})


def test_tensorboard_holds_every_metric(tmp_path):
    pytest.importorskip("tensorboard")
    stage = small_stage(tmp_path, make_loggers=chosen(tmp_path, "csv", "tensorboard"))
    run_stage(stage, RunFolder(tmp_path))
    found = scalars(tmp_path / "tensorboard")
    expected: dict[str, list[tuple[int, float]]] = {}
    for row in rows(tmp_path / "metrics.csv"):
        for name, value in row.items():
            if name != "step" and value:
                expected.setdefault(name, []).append((int(row["step"]), float(value)))
    assert set(found) == set(expected)
    for name, points in expected.items():
        assert [step for step, _ in found[name]] == [step for step, _ in points], name
        assert [value for _, value in found[name]] == pytest.approx(
            [value for _, value in points], rel=1e-6
        ), name


def test_tensorboard_hides_what_a_resume_repeats(tmp_path):
    pytest.importorskip("tensorboard")
    first = TensorBoardLog(tmp_path, "seed: 0")
    first.rewind(-1)
    for step in (1, 2, 3, 4):
        first.log_metrics({"a": float(step)}, step)
    first.save()
    again = TensorBoardLog(tmp_path, "seed: 0")
    again.rewind(2)
    again.log_metrics({"a": 30.0}, 3)
    again.finalize("success")
    assert scalars(tmp_path)["a"] == [(1, 1.0), (2, 2.0), (3, 30.0)]


def test_tensorboard_tells_the_config(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    log = TensorBoardLog(tmp_path, "beta: 0.125")
    log.log_metrics({"a": 1.0}, 1)
    log.finalize("success")
    events = accumulator.EventAccumulator(str(tmp_path))
    events.Reload()
    (text,) = events.Tensors("config/text_summary")
    assert b"beta: 0.125" in text.tensor_proto.string_val[0]


def test_tensorboard_shows_samples_as_they_are(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    folder = RunFolder(tmp_path)
    row = {
        "prompt": "a\nb",
        "before": "# no heading",
        "reward_before": 0.5,
        "after": "c",
        "reward_after": 1.25,
    }
    folder.write_lines("samples.jsonl", [row] * (SHOWN_SAMPLES + 1))
    folder.write_json("summary.json", {"steps": 7})
    log_samples(folder)
    assert not (tmp_path / FOLDER).exists()  # another logger was chosen
    (tmp_path / FOLDER).mkdir()
    log_samples(folder)
    events = accumulator.EventAccumulator(str(tmp_path / FOLDER))
    events.Reload()
    assert len(events.Tags()["tensors"]) == SHOWN_SAMPLES
    (text,) = events.Tensors("samples/0/text_summary")
    assert text.step == 7
    told = text.tensor_proto.string_val[0].decode()
    assert "**prompt**\n\n    a\n    b\n\n**before**, reward 0.50\n\n    # no heading" in told
    assert "**after**, reward 1.25\n\n    c" in told


def test_a_resumed_run_has_every_step_once(tmp_path):
    pytest.importorskip("tensorboard")
    for steps in (3, 5):
        trainer = {"max_steps": steps, "validate_every_n_steps": 9}
        stage = small_stage(tmp_path, make_loggers=chosen(tmp_path, "csv", "tensorboard"), trainer=trainer)
        run_stage(stage, RunFolder(tmp_path))
    assert [step for step, _ in scalars(tmp_path / "tensorboard")["train/loss"]] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("name", ["tensorboard", "wandb"])
def test_a_missing_package_is_found_before_anything_runs(name, monkeypatch):
    def missing(package):
        raise PackageNotFoundError(package)

    monkeypatch.setattr("alignlab.assembly.check.version", missing)
    assert f"pip install -e '.[{name}]'" in problem(composed(f"logger=[csv,{name}]"))
    assert problem(composed("logger=[csv]")) == ""


def test_without_the_package_the_way_out_is_told(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ConfigError, match=r"pip install -e '\.\[tensorboard\]'"):
        chosen(tmp_path, "csv", "tensorboard")()
