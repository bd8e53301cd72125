"""What a person sees of a training: a bar on a terminal, readable lines in a log."""

import io
import logging
import re
import sys

import pytest
from rich.console import Console

from alignlab import console
from alignlab.runs.folder import RunFolder
from alignlab.training.stage import run_stage
from tests.training.small import small_stage

LINE = re.compile(
    r"step (\d)/3  loss \d\.\d{4}  accuracy [01]\.\d\d  margin [+-]\d\.\d{3}  [\d,]+ tokens/s(  \d+:\d\d left)?"
)


def lines(caplog):
    return [record.getMessage() for record in caplog.records if "step " in record.getMessage()]


def test_a_log_has_one_line_an_interval_and_one_at_the_end(tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        run_stage(small_stage(tmp_path, progress_every=2), RunFolder(tmp_path))
    found = [LINE.fullmatch(line) for line in lines(caplog)[-2:]]
    assert [match and match[1] for match in found] == ["2", "3"]
    assert [bool(match[2]) for match in found] == [True, False]  # no time is left at the end


def test_stages_of_a_run_are_told_apart(tmp_path, caplog):
    folder = RunFolder(tmp_path / "stages" / "02-hard")
    with caplog.at_level(logging.INFO):
        run_stage(small_stage(folder.path), folder)
    assert lines(caplog)[-1].startswith("02-hard step 3/3  loss ")


@pytest.mark.parametrize("title", ["", "02-hard"])
def test_a_terminal_has_a_bar_and_no_lines(title, tmp_path, caplog, monkeypatch):
    screen = io.StringIO()
    bar = console.bar()
    bar.live.console = Console(file=screen, force_terminal=True, width=160)
    monkeypatch.setattr("alignlab.training.callbacks.progress.bar", lambda: bar)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    folder = RunFolder(tmp_path / "stages" / title if title else tmp_path)
    with caplog.at_level(logging.INFO):
        run_stage(small_stage(folder.path), folder)
    shown = screen.getvalue()
    for words in (title or "training", "3/3", "loss 0.", "accuracy", "margin", "tokens/s"):
        assert words in shown, words
    assert not [line for line in lines(caplog) if "loss" in line]
