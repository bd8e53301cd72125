"""The example of docs/extending.md, taken from the page and run as it stands there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.end_to_end.command import SMALL, environment, summary
from tests.repository import ROOT

SECTION = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8").split("\n## In your own package")[1]
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", SECTION, re.DOTALL)
FILES = {text.splitlines()[0].removeprefix("# "): text for kind, text in BLOCKS if kind != "bash"}
(COMMAND,) = (text for kind, text in BLOCKS if kind == "bash")


@pytest.fixture
def package(tmp_path):
    """The files of the page, in a folder of their own."""
    for name, text in FILES.items():
        path = tmp_path / "my package" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "my package"


def run(command, folder, cache):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-euc", command],
        cwd=folder,
        env={**environment(cache), "PATH": path},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_the_page_has_a_whole_package():
    assert set(FILES) == {
        "my_losses.py",
        "alignlab.yaml",
        "conf/objective/mine.yaml",
        "conf/regularizers/drift.yaml",
        "loop.py",
    }


@pytest.mark.slow
def test_its_command_trains(package, cache):
    settings = " ".join([*SMALL, "trainer.max_steps=2", "hydra.run.dir=run"])
    command = COMMAND.replace("python train.py", f"python '{ROOT}/train.py'").rstrip()
    done = run(f"{command} {settings}", package, cache)
    assert done.returncode == 0, done.stderr
    assert (summary(package / "run")["objective"], summary(package / "run")["steps"]) == ("mine", 2)
    first = (package / "run" / "metrics.csv").read_text()
    assert "train/loss/drift" in first
    assert "objective.loss.beta=0.2" in (package / "run" / "overrides.txt").read_text()


@pytest.mark.slow
def test_a_misspelt_signal_is_found_before_anything_is_loaded(package, cache):
    losses = package / "my_losses.py"
    losses.write_text(losses.read_text().replace("chosen_logratios: Tensor", "chosen_logratio: Tensor"))
    done = run(COMMAND.replace("python train.py", f"python '{ROOT}/train.py'"), package, cache)
    assert done.returncode == 1
    assert "did you mean 'chosen_logratios'?" in done.stderr
    assert "Traceback" not in done.stderr


def test_its_loop_runs(package, cache):
    done = run("PYTHONPATH=$PWD python loop.py", package, cache)
    assert (done.returncode, done.stdout) == (0, f"{(1 - 0.1 * 2) ** 2 + 0.001 * 1:.4f}\n"), done.stderr
