"""metrics.csv: rows are added, columns grow, and a resumed run forgets what came after its checkpoint."""

import csv

from alignlab.runs.folder import RunFolder
from alignlab.training.loggers.csv_log import CsvLog
from alignlab.training.stage import run_stage
from tests.training.small import small_stage


def rows(file):
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_new_metric_widens_the_file(tmp_path):
    log = CsvLog(tmp_path / "metrics.csv")
    log.log_metrics({"a": 1.0}, 1)
    log.log_metrics({"a": 2.0, "b": 3.0}, 2)
    log.log_metrics({"a": 4.0}, 3)
    assert rows(log.file) == [
        {"step": "1", "a": "1.0", "b": ""},
        {"step": "2", "a": "2.0", "b": "3.0"},
        {"step": "3", "a": "4.0", "b": ""},
    ]


def test_another_process_goes_on_in_the_same_file(tmp_path):
    CsvLog(tmp_path / "metrics.csv").log_metrics({"a": 1.0}, 1)
    CsvLog(tmp_path / "metrics.csv").log_metrics({"a": 2.0}, 2)
    assert [row["step"] for row in rows(tmp_path / "metrics.csv")] == ["1", "2"]


def test_rewind_keeps_rows_up_to_the_step(tmp_path):
    log = CsvLog(tmp_path / "metrics.csv")
    for step in (0, 1, 2, 2, 3, 10):
        log.log_metrics({"a": float(step)}, step)
    log.rewind(2)
    assert [row["step"] for row in rows(log.file)] == ["0", "1", "2", "2"]
    log.rewind(-1)
    assert rows(log.file) == []
    log.log_metrics({"a": 5.0}, 1)
    assert rows(log.file) == [{"step": "1", "a": "5.0"}]


def test_rewind_of_nothing_makes_no_file(tmp_path):
    CsvLog(tmp_path / "metrics.csv").rewind(3)
    assert not (tmp_path / "metrics.csv").exists()


def test_a_torn_last_line_is_dropped(tmp_path):
    log = CsvLog(tmp_path / "metrics.csv")
    log.log_metrics({"a": 1.0, "b": 2.0}, 1)
    whole = log.file.read_bytes()
    for torn in (b"1", b"1,0.6", b"12,0.5,0.25", b"\xff"):
        log.file.write_bytes(whole + torn)
        again = CsvLog(log.file)
        again.rewind(99)
        assert log.file.read_bytes() == whole


def test_a_torn_header_is_no_header(tmp_path):
    (tmp_path / "metrics.csv").write_text("step,tra")
    log = CsvLog(tmp_path / "metrics.csv")
    log.rewind(-1)
    log.log_metrics({"a": 1.0}, 1)
    assert rows(log.file) == [{"step": "1", "a": "1.0"}]


def test_a_run_starts_by_clearing_what_an_earlier_attempt_left(tmp_path):
    folder = RunFolder(tmp_path)
    CsvLog(folder.metrics).log_metrics({"train/loss": 9.0}, 1)
    run_stage(small_stage(tmp_path), folder)
    kept = rows(folder.metrics)
    assert [row["step"] for row in kept if row["train/loss"]] == ["1", "2", "3"]
    assert kept[0]["step"] == "0"
    assert all(row["train/loss"] != "9.0" for row in kept)
