"""`alignlab claims`: the plan, and two claims in miniature from their runs to the page."""

import os
import subprocess
import sys

import pytest

from alignlab.program import main
from tests.repository import ROOT

SCRIPT = [sys.executable, str(ROOT / "scripts" / "claims.py")]


def ledger(*arguments, cwd):
    return subprocess.run(
        [*SCRIPT, *arguments], cwd=cwd, env={**os.environ}, capture_output=True, text=True, check=False
    )


def test_a_name_that_is_not_there():
    with pytest.raises(SystemExit, match=r"no claim 'lipo_list' in .*did you mean 'lipo_lists'"):
        main(["claims", "plan=true", "lipo_list"])


@pytest.mark.slow
@pytest.mark.exhaustive
def test_two_claims_in_miniature(tmp_path):
    """A curve over models that are made, and a search; at the second call nothing is run again."""
    page = ROOT / "docs" / "claims.md"
    before = page.read_bytes()
    line = ["small=true", "cache=cache", "expo", "tpo_tree"]
    found = ledger(*line, cwd=tmp_path)
    assert found.returncode == 0, found.stdout + found.stderr
    assert "FAILED" not in found.stdout
    results = list((tmp_path / "cache/results").glob("*.json"))
    assert len(results) == 2 + 8
    assert not list((tmp_path / "cache/runs").iterdir())
    text = (tmp_path / "cache/small/claims.md").read_text()
    assert "not run yet" not in text
    assert (tmp_path / "cache/small/pictures/claims/expo-curve.png").is_file()
    assert page.read_bytes() == before
    again = ledger(*line, "minutes=0", cwd=tmp_path)
    assert again.returncode == 0
    assert "optimizer.lr" not in again.stdout
