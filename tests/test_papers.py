"""docs/papers.yaml: what it says works has a command that is accepted, tests that are there, and runs in miniature."""

import ast
import shlex
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest
import yaml

from alignlab.config.judges import judge_nodes, without_judges
from alignlab.config.stage_of import stage_of
from alignlab.places import choices
from alignlab.runs.folder import RunFolder
from alignlab.training.stage import run_stage
from alignlab.verbs import analyze
from tests.config.compose import composed, problem
from tests.repository import ROOT

ROWS = yaml.safe_load((ROOT / "docs/papers.yaml").read_text(encoding="utf-8"))
WORKS = [row for row in ROWS if row["state"] == "works"]
COMMANDS = [(row, shlex.split(command)) for row in ROWS for command in row.get("commands", ())]
TRAINS = [(row, words[2:]) for row, words in COMMANDS if words[1] == "train"]
RUNS = ("tests/training/test_every_objective.py", "tests/end_to_end/", "tests/verbs/")
"""Tests that run what a row is about in miniature; where a row names none of them, its commands are run here."""
HERE = [
    (row, words)
    for row, words in TRAINS
    if row["state"] == "works" and not any(test.startswith(RUNS) for test in row["tests"])
]
STATES = {
    "works": {"commands", "tests", "claim"},
    "half": {"commands", "claim", "lacks"},
    "not there": {"lacks"},
}
"""What rows may have beside number, title, paper, state and shows; all but a claim they must have."""
GROUPS = ("objective", "regularizers", "modifiers", "experiment")
SMALL = (
    "evaluation=none",
    "model.loader.steps=20",
    "model.loader.hidden_size=16",
    "model.loader.layers=1",
    "model.loader.heads=2",
    "data.limit=24",
    "data.limit_validation=8",
    "data.lists_per_step=8",
    "trainer.max_steps=2",
    "trainer.accelerator=cpu",
)


def title(row):
    return row["title"].partition(",")[0]


every = pytest.mark.parametrize("row", ROWS, ids=title)


@cache
def functions_of(path):
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_all_systems_are_there_once():
    assert [row["number"] for row in ROWS if "number" in row] == list(range(1, 72))
    for key in ("title", "paper"):
        values = [row[key] for row in ROWS]
        assert len(set(values)) == len(values)


@every
def test_a_row_says_what_its_state_asks_for(row):
    known = {"number", "title", "paper", "state", "shows"}
    of_state = STATES[row["state"]]
    assert (known - {"number"}) | (of_state - {"claim"}) <= row.keys() <= known | of_state
    assert all(row[key] for key in row)
    assert "claim" not in row or (ROOT / "claims" / f"{row['claim']}.yaml").is_file()


@pytest.mark.parametrize("row", WORKS, ids=title)
def test_its_tests_are_there_and_one_runs_it(row):
    for test in row["tests"]:
        path, _, name = test.partition("::")
        function, _, parameter = name.rstrip("]").partition("[")
        assert function in functions_of(path), test
        assert not parameter or any(parameter in choices(group) for group in GROUPS), test
    assert any(row is other for other, _ in HERE) or any(test.startswith(RUNS) for test in row["tests"])


@pytest.fixture
def its_data(tmp_path, monkeypatch):
    """Puts the file where a command says that the reader's own data are."""
    monkeypatch.chdir(tmp_path)

    def put(words):
        for key, _, file in (word.partition("=") for word in words):
            if key == "data.path":
                Path(file).write_text("{}\n", encoding="utf-8")

    return put


@pytest.mark.parametrize(("row", "words"), TRAINS, ids=lambda value: title(value) if "title" in value else "")
def test_its_command_is_accepted(row, words, its_data):
    its_data(words)
    assert problem(composed(*words)) == ""


@pytest.mark.parametrize("words", [words for _, words in COMMANDS if words[1] != "train"], ids=" ".join)
def test_its_verb_has_the_keys_that_are_typed(words, its_data):
    its_data(words)
    program, verb, *rest = words
    assert program == "alignlab"
    module = import_module(f"alignlab.verbs.{verb}")
    if verb == "analyze":
        assert rest.pop(0) in analyze.QUESTIONS
    own = {word.partition("=")[0] for word in rest} & module.KEYS.keys()
    overrides = [word for word in rest if word.partition("=")[0] not in own]
    assert own or overrides or rest == []
    if verb == "annotate":
        assert judge_nodes(overrides)
        overrides = without_judges(overrides)
    assert not overrides or problem(composed(*overrides)) == ""


@pytest.mark.parametrize(("row", "words"), HERE, ids=lambda value: title(value) if "title" in value else "")
def test_it_trains_in_miniature(row, words, tmp_path):
    stage = stage_of([*words, *SMALL, f"output_dir={tmp_path}"])
    result = run_stage(stage, RunFolder(tmp_path))
    assert (result.status, result.steps) == ("finished", 2)
    assert result.final["val/loss"] != result.initial["val/loss"]
