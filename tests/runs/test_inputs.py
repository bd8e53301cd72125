"""What a run has read is kept, and compared once it has begun its work."""

import logging

import pytest

from alignlab.errors import RunError
from alignlab.runs.folder import RunFolder
from alignlab.runs.inputs import Inputs


@pytest.fixture
def folder(tmp_path):
    """The folder of a run that read one thing, and wrote a checkpoint."""
    run = RunFolder(tmp_path)
    Inputs(run).note("data", "the data 'mine'", {"train": "a", "validation": "b"}, ("data.rows",))
    run.write_text("checkpoints/last.ckpt", "")
    return run


def test_the_same_inputs_pass(folder):
    Inputs(folder).note("data", "the data 'mine'", {"train": "a", "validation": "b"}, ("data.rows",))
    Inputs(folder).note("other", "a model", {"x": "y"}, ("model.files",))
    assert Inputs(folder).knows("other")


@pytest.mark.parametrize("parts", [{"train": "c", "validation": "b"}, {"validation": "b"}, {"train": "c"}])
def test_other_inputs_are_refused(folder, parts):
    with pytest.raises(
        RunError, match=r"the data 'mine' changed since .*: train.* differ.*'resume\.allow=\[data\.rows\]'"
    ):
        Inputs(folder, ["optimizer.lr", "data.row"]).note("data", "the data 'mine'", parts, ("data.rows",))
    assert Inputs(folder).before["data"] == {"train": "a", "validation": "b"}


@pytest.mark.parametrize("allow", ["data.rows", "data"])
def test_other_inputs_are_told_where_they_are_allowed(folder, allow, caplog):
    now = {"train": "c", "validation": "b"}
    with caplog.at_level(logging.WARNING):
        Inputs(folder, [allow]).note("data", "the data 'mine'", now, ("data.rows",))
    assert "the data 'mine' changed" in caplog.text
    Inputs(folder).note("data", "the data 'mine'", now, ("data.rows",))  # from here on these are the ones


def test_a_run_without_work_in_it_may_read_anything(tmp_path):
    run = RunFolder(tmp_path)
    for value in "ab":
        Inputs(run).note("data", "the data", {"train": value}, ("data.rows",))
    assert run.read_json("inputs.json") == {"data": {"train": "b"}}


def test_a_run_that_kept_no_fingerprints_says_so(tmp_path, caplog):
    RunFolder(tmp_path).write_text("checkpoints/last.ckpt", "")
    with caplog.at_level(logging.WARNING):
        Inputs(RunFolder(tmp_path)).note("data", "the data", {"train": "a"}, ("data.rows",))
    assert "is not checked" in caplog.text


@pytest.mark.parametrize("kept", ["{", "[]", '{"data": 3}'])
def test_fingerprints_that_are_none_are_as_if_not_kept(kept, tmp_path, caplog):
    RunFolder(tmp_path).write_text("checkpoints/last.ckpt", "")
    RunFolder(tmp_path).write_text("inputs.json", kept)
    with caplog.at_level(logging.WARNING):
        Inputs(RunFolder(tmp_path)).note("data", "the data", {"train": "a"}, ("data.rows",))
    assert "is not checked" in caplog.text
