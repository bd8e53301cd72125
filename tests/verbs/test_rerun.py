"""`alignlab rerun run=<folder>`: the manifest alone makes the same run again."""

import json
import shutil
import subprocess
import sys

import pytest

from alignlab.places import PACKAGE
from tests.end_to_end.command import SMALL, environment, forked, metrics, weights

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a run in it, and its cache."""
    folder = tmp_path_factory.mktemp("rerun")
    line = (
        *SMALL,
        "trainer.max_steps=4",
        "regularizers=[sft]",
        "seed=3",
        "resume=auto",
        "hydra.run.dir=first",
    )
    done = forked(*line, cwd=folder, cache=folder / "cache")
    assert done.returncode == 0, done.stderr
    return folder


def rerun(*arguments, place):
    return subprocess.run(
        [sys.executable, "-P", str(PACKAGE / "__main__.py"), "rerun", *arguments],
        cwd=place.parent,
        env=environment(place / "cache"),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_manifest_is_enough(place, tmp_path):
    shutil.copy(place / "first/manifest.json", tmp_path)
    done = rerun(f"run={tmp_path}", f"output_dir={tmp_path}/again", place=place)
    assert done.returncode == 0, done.stderr
    (run,) = (tmp_path / "again/dpo-lab").iterdir()
    assert metrics(run) == metrics(place / "first")
    assert weights(run) == weights(place / "first")


def test_more_overrides(place, tmp_path):
    done = rerun(f"run={place}/first", f"hydra.run.dir={tmp_path}/run", "trainer.max_steps=1", place=place)
    assert done.returncode == 0, done.stderr
    assert [row["step"] for row in metrics(tmp_path / "run") if row["train/loss"]] == ["1"]


def test_a_default_that_was_changed_since_is_told(place, tmp_path):
    manifest = json.loads((place / "first/manifest.json").read_text())
    manifest["config"]["objective"]["loss"]["beta"] = 0.25
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    done = rerun(f"run={tmp_path}", place=place)
    assert done.returncode == 1
    assert "objective.loss.beta: 0.25 -> 0.1" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"), [((), "name one run folder"), (("run=nowhere",), "no manifest.json")]
)
def test_without_a_run(arguments, said, place):
    done = rerun(*arguments, place=place)
    assert done.returncode == 1
    assert said in done.stderr
