"""The command line composes and checks a config before it imports what trains: a misspelt word is told at once."""

import json
import os
import subprocess
import sys

import pytest

from tests.repository import ROOT

HEAVY = ("torch", "lightning", "transformers", "datasets", "matplotlib", "scipy", "pandas")
CHECKED = "checked: all but what an import alone can tell"
PROGRAM = f"""
import json, sys
import alignlab.assembly.check as check

settings_are_right = check.check_settings

def stop_behind(config):
    settings_are_right(config)
    sys.exit("{CHECKED}")

check.check_settings = stop_behind
from alignlab.program import main

try:
    main(sys.argv[1:])
except SystemExit as stop:
    print(stop.code, file=sys.stderr)
print("\\n" + json.dumps([name for name in {HEAVY!r} if name in sys.modules]))
"""
"""Runs the program as far as the first part of the check, and prints which of the heavy packages are imported then."""


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--help", ""),
        ("train --help", ""),
        ("report --help", ""),
        ("trian", "did you mean 'train'"),
        ("train objective=dpoo", "did you mean 'dpo'"),
        ("train objective.loss.betta=1", "did you mean 'objective.loss.beta'"),
        ("train +objective.loss.betta=1 hydra.run.dir=run", "did you mean 'beta'"),
        ("train data.limitt=3", "did you mean 'data.limit'"),
        ("train trainer.max_steps=0 hydra.run.dir=run", "trainer.max_steps=0"),
        ("train hydra.run.dir=run", CHECKED),
        ("train objective=lipo_lambda regularizers=[kl,sft] peft=lora hydra.run.dir=run", CHECKED),
        ("train recipe=stepwise pipeline=[pairs] hydra.run.dir=run", CHECKED),
        ("analyze lenght", "did you mean 'length'"),
        ("export run=x", "out= is missing"),
    ],
)
def test_nothing_heavy_is_imported_before_the_config_is_checked(line, said, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *line.split()],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "ALIGNLAB_CACHE": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert said in done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [], done.stderr


def test_the_objective_of_ones_own_loop_is_where_it_was():
    code = (
        "import sys, alignlab; assert 'torch' not in sys.modules; print(alignlab.load_objective('dpo').name)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "dpo\n"
