"""Models and rows of a run that goes on are compared with those that it was begun with."""

import hashlib
import json
import threading
import time
from pathlib import Path

import pytest

from alignlab import file_digests
from alignlab.config.stage_configs import Planned
from alignlab.errors import RunError
from alignlab.launch import inputs
from alignlab.launch.inputs import note_models, noting_rows
from alignlab.recipes.stage_spec import StageSpec
from alignlab.runs.folder import RunFolder
from alignlab.runs.inputs import Inputs
from tests.config.compose import composed

ROWS = {"train": "a", "validation": "b"}

NO_TENSORS = "\x02\0\0\0\0\0\0\0{}"
"""A whole safetensors file that holds nothing: the length of its header, and the header."""


def model(folder, **more):
    files = {
        "config.json": "{}",
        "tokenizer.json": "{}",
        "model.safetensors": NO_TENSORS,
        "notes.txt": "",
    } | more
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def run(tmp_path):
    """`run()` is what a run that has begun its work knows; its models are start, other and, of an adapter, base."""
    folder = RunFolder(tmp_path / "run")
    model(tmp_path / "base")
    model(tmp_path / "other")
    base = json.dumps(
        {"base_model_name_or_path": str(tmp_path / "base"), "peft_type": "LORA", "task_type": "CAUSAL_LM"}
    )
    adapter = {"adapter_config.json": base, "adapter_model.safetensors": "0"}
    model(tmp_path / "start", **adapter)
    for name in ("config.json", "model.safetensors"):
        (tmp_path / "start" / name).unlink()

    def begun(*allow):
        return Inputs(folder, allow)

    first = begun()
    note_models(first, plan(tmp_path))
    noting = noting_rows(first, "01-first", {"name": "local"})
    for name in ("rows", "data", "tokens"):
        noting(name, ROWS)
    folder.write_text("stages/01-first/checkpoints/last.ckpt", "")
    return begun


def plan(folder: Path):
    config = composed(
        "model=local", "data=hh_rlhf", f"model.path={folder / 'start'}", f"reference.path={folder / 'other'}"
    )
    return [Planned(1, StageSpec(""), config)]


def test_models_that_did_not_change(run, tmp_path):
    (tmp_path / "start/notes.txt").write_text("no part of the model")
    note_models(run(), plan(tmp_path))


@pytest.mark.parametrize(
    "name",
    ["start/adapter_model.safetensors", "start/tokenizer.json", "other/config.json", "base/config.json"],
)
def test_a_model_that_changed_is_refused(run, tmp_path, name):
    (tmp_path / name).write_text('{"changed": 1}')
    with pytest.raises(RunError, match=rf"the model .* changed since .*{Path(name).name} differ"):
        note_models(run(), plan(tmp_path))
    note_models(run("model.files", "reference.files"), plan(tmp_path))


def test_models_are_noted_beside_the_loading_and_before_the_training(tmp_path, monkeypatch):
    model(tmp_path / "start")
    model(tmp_path / "other")
    hashing = threading.Event()
    hashed = inputs.model_files
    monkeypatch.setattr(inputs, "model_files", lambda *args: hashing.wait(10) and hashed(*args))
    noted = Inputs(RunFolder(tmp_path / "run"))
    note_models(noted, plan(tmp_path))
    noting = noting_rows(noted, "", {"name": "local"})
    noting("rows", ROWS)
    assert not noted.knows(f"model {tmp_path / 'start'}")
    hashing.set()
    noting("tokens", ROWS)
    assert {f"model {tmp_path / name}" for name in ("start", "other")} <= noted.before.keys()


def test_files_that_did_not_change_are_hashed_once(run, tmp_path, monkeypatch):
    later = time.time() + 60
    monkeypatch.setattr(file_digests.time, "time", lambda: later)
    note_models(run(), plan(tmp_path), tmp_path / "cache")
    monkeypatch.setattr(hashlib, "file_digest", None)
    note_models(run(), plan(tmp_path), tmp_path / "cache")


def test_rows_of_a_stage_that_was_begun_are_compared_after_the_pipeline(run):
    noting = noting_rows(run(), "01-first", {"name": "local"})
    noting("rows", ROWS)
    noting("data", ROWS | {"train": "longer"})
    with pytest.raises(
        RunError, match=r"data 'local' \(rows as tokens of stage 01-first\) changed.*train differ"
    ):
        noting("tokens", ROWS | {"train": "c"})


def test_a_stage_that_comes_later_reads_the_data_of_those_before(run):
    later = noting_rows(run(), "02-second", {"name": "local"})
    later("rows", {"train": "c", "validation": "d"})
    later("data", ROWS)
    with pytest.raises(RunError, match=r"data 'local' changed since .*'resume\.allow=\[data\.rows\]'"):
        noting_rows(run(), "03-third", {"name": "local"})("data", ROWS | {"train": "c"})
    noting_rows(run("data.rows"), "03-third", {"name": "local"})("data", ROWS | {"train": "c"})


@pytest.mark.parametrize("allow", ["data.limit", "pipeline", "data.rows"])
def test_rows_may_differ_where_what_they_follow_from_may(run, allow):
    noting_rows(run(allow), "01-first", {"name": "local"})("rows", {"train": "c", "validation": "d"})
