"""docs/pipeline.md: a row for every step, with commands that work."""

import re
import shlex

import pytest
import yaml

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
def test_a_row_tells_the_options_and_a_command_that_is_accepted(row):
    name, command = row[0].strip("`"), shlex.split(row[-1].strip("`"))
    config = composed(*command, *(["model=smollm2_135m"] if "data=ultrafeedback" in command else []))
    assert problem(config) == ""
    steps = yaml.safe_load((ROOT / f"conf/pipeline/{name}.yaml").read_text(encoding="utf-8"))
    assert steps.keys() <= config["pipeline"].keys()
    options = {option for step in steps.values() for option in step}
    assert options - {"_target_", "seed"} <= set(re.findall(r"`(\w+)`", " ".join(row)))
