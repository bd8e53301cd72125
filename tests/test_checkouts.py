"""A copy of the checkout runs its own code with its own configs, though another one is installed; so does a wheel."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.repository import ROOT

OWN = "name: {name}\nloss: {{_target_: alignlab.losses.pairs.dpo.only_here, beta: 0.25}}\npairs: best_worst\n"
LOSS = '''

def only_here(chosen_logratios, rejected_logratios, *, beta: float = 0.1):
    """A loss that this copy alone has."""
    return beta * (rejected_logratios - chosen_logratios)
'''
SWEEP = "# @package _global_\n# One more sweep.\nhydra: {mode: MULTIRUN, sweeper: {params: {seed: '1,2'}}}\n"
PROGRAMS = {
    "train.py": ("train.py",),
    "-m": ("-m", "alignlab", "train"),
    "by path": ("alignlab/__main__.py", "train"),
    "by path, safely": ("-P", "alignlab/__main__.py", "train"),
}
"""Ways to start `train` in a checkout; those that name no file of it are started inside it."""


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """The tracked files and what is new, as a clone would have them, with a loss, a choice and a sweep of its own."""
    copy = tmp_path_factory.mktemp("clone") / "alignlab"
    for name in ("alignlab", "conf", "sweeps", "hydra_plugins", "scripts", "claims"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("train.py", "pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, copy / name)
    with (copy / "alignlab/losses/pairs/dpo.py").open("a") as file:
        file.write(LOSS)
    (copy / "conf/objective/only_here.yaml").write_text(OWN.format(name="only_here"))
    (copy / "sweeps/only_here.yaml").write_text(SWEEP)
    return copy


def python(*words, cwd, **environment):
    keep = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, *words],
        cwd=cwd,
        env={**keep, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("search", ["", "own", "other"])
@pytest.mark.parametrize("program", PROGRAMS)
def test_train_uses_the_configs_of_its_own_checkout(program, search, checkout, tmp_path):
    words = PROGRAMS[program]
    inside = program == "-m"
    line = words if inside else [str(checkout / word) if word.endswith(".py") else word for word in words]
    path = {"": {}, "own": {"PYTHONPATH": str(checkout)}, "other": {"PYTHONPATH": str(ROOT)}}[search]
    config = python(
        *line, "objective=only_here", "--cfg", "job", cwd=checkout if inside else tmp_path, **path
    )
    assert "_target_: alignlab.losses.pairs.dpo.only_here" in config
    assert "beta: 0.25" in config


def test_its_own_kept_sweeps_alone_are_a_group(checkout, tmp_path):
    line = (str(checkout / "train.py"), "sweeps=only_here")
    assert "seed: 1,2" in python(*line, "--cfg", "hydra", cwd=tmp_path).replace("'", "")
    groups = python(str(checkout / "train.py"), "--hydra-help", cwd=checkout)
    assert "site-packages" not in groups
    assert "outputs" not in python(*line, "--info", "config", cwd=checkout).partition("Defaults")[0]


@pytest.mark.parametrize("search", ["", "other"])
def test_a_door_opens_to_the_code_beside_it(search, checkout, tmp_path):
    path = {"": {}, "other": {"PYTHONPATH": str(ROOT)}}[search]
    assert "dpo.only_here" in python(
        str(checkout / "scripts/objectives.py"), "only_here", cwd=tmp_path, **path
    )


def test_every_script_finds_the_code_beside_it():
    for script in (ROOT / "scripts").glob("*.py"):
        text = script.read_text(encoding="utf-8")
        if "\nfrom alignlab" in text or "\nimport alignlab" in text:
            assert text.index("sys.path.insert(0, str(") < text.index("alignlab."), script


def test_the_console_program_of_another_checkout_hands_over(checkout):
    """Who stands in a checkout means that one, whichever is installed."""
    console = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); from alignlab.program import command; command()"
    )
    for folder in (checkout, checkout / "conf" / "objective"):
        shown = python("-P", "-c", console, "objectives", "only_here", cwd=folder)
        assert "dpo.only_here" in shown


@pytest.mark.slow
def test_a_wheel_has_its_configs_and_the_program(checkout, tmp_path):
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    built, installed = tmp_path / "built", tmp_path / "installed"
    quiet = {"stdout": subprocess.DEVNULL, "check": True, "cwd": tmp_path}
    subprocess.run(
        [*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", str(built), str(checkout)], **quiet
    )
    (wheel,) = built.glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", str(installed), str(wheel)], **quiet)
    path = {"PYTHONPATH": str(installed)}
    program = str(installed / "bin" / "alignlab")
    assert Path(program).is_file()
    assert "only_here" in python(
        program, "train", "objective=only_here", "--cfg", "job", cwd=tmp_path, **path
    )
    assert "seed: 1,2" in python(
        program, "train", "sweeps=only_here", "--cfg", "hydra", cwd=tmp_path, **path
    ).replace("'", "")
    shown = python("-m", "alignlab", "objectives", "only_here", cwd=tmp_path, **path)
    assert "dpo.only_here" in shown
