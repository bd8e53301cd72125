"""The project file `alignlab.yaml` of the current folder adds folders of configs to every command."""

import subprocess
import sys

import pytest

from alignlab.errors import ConfigError
from alignlab.places import project_searchpath
from tests.repository import ROOT

MINE = "name: mine\nloss: {_target_: alignlab.losses.pairs.dpo.dpo, beta: 0.375}\npairs: best_worst\n"


@pytest.fixture
def project(tmp_path):
    """A folder with an objective of its own, and a project file that says where it lies."""
    folder = tmp_path / "my configs" / "objective"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text(MINE)
    (tmp_path / "alignlab.yaml").write_text("hydra:\n  searchpath: [my configs]\n")
    return tmp_path


def test_a_command_given_beside_it_finds_its_configs(project):
    command = [sys.executable, ROOT / "train.py", "objective=mine", "--cfg", "job"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=60, check=False)
    assert "beta: 0.375" in done.stdout, done.stderr
    elsewhere = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert elsewhere.returncode != 0


def test_folders_are_relative_to_it_and_packages_stay(project):
    assert project_searchpath(project) == [f"file://{project / 'my configs'}"]
    (project / "alignlab.yaml").write_text("hydra: {searchpath: ['pkg://my_package.conf']}")
    assert project_searchpath(project) == ["pkg://my_package.conf"]


def test_without_it_or_with_an_empty_one_there_is_nothing_more(tmp_path):
    assert project_searchpath(tmp_path) == []
    (tmp_path / "alignlab.yaml").write_text("# nothing yet\n")
    assert project_searchpath(tmp_path) == []


@pytest.mark.parametrize(
    "content",
    [
        "hydra: {searchpath: conf}",
        "hydra: {searchpath: [1]}",
        "hydra: {searchpaths: [conf]}",
        "searchpath: [conf]",
        "- conf",
        "hydra: conf",
        "hydra: {searchpath: [nowhere]}",
        "hydra: [",
    ],
)
def test_what_it_cannot_say_is_an_error_that_names_the_file(content, tmp_path):
    (tmp_path / "alignlab.yaml").write_text(content)
    with pytest.raises(ConfigError, match=r"alignlab\.yaml"):
        project_searchpath(tmp_path)
