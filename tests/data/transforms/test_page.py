"""docs/pipeline.md: a row for every step, with commands that work."""

import shlex

import pytest

from alignlab.objective.load import read_choice
from alignlab.places import choices
from tests.config.compose import composed, problem
from tests.repository import ROOT

ROWS = [
    [cell.strip() for cell in line[1:-1].split(" | ")]
    for line in (ROOT / "docs/pipeline.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("| `")
]


def test_every_step_has_a_row():
    assert sorted(name.strip("`") for name, *_ in ROWS) == sorted(choices("pipeline"))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0].strip("`"))
def test_the_command_of_a_row_is_accepted_and_runs_the_step(row):
    name, command = row[0].strip("`"), shlex.split(row[-1].strip("`"))
    if name == "desirable_probs":
        pytest.importorskip("sklearn")
    config = composed(*command, *(["model=smollm2_135m"] if "data=ultrafeedback" in command else []))
    assert problem(config) == ""
    assert read_choice("pipeline", name).keys() <= config["pipeline"].keys()
