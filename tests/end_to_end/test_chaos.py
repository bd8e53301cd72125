"""Runs that are really killed go on as if nothing had happened; `make chaos` does so in all its cases."""

import subprocess
import sys

import pytest

from tests.end_to_end.command import environment
from tests.repository import ROOT


@pytest.mark.slow
def test_a_few_kills(tmp_path, cache):
    cases = ["lora", "read-only-cache"]
    wanted = ["--kills", "2", "--per-run", "1", "--cases", *cases, "--out", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts/chaos.py"), *wanted],
        env=environment(cache),
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("steps reported") == 2


def test_what_differs_is_told(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    from faults.compare import differences

    for name, status, row in (("one", "finished", "1,0.5,9"), ("other", "interrupted", "1,0.6,8")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "summary.json").write_text(f'{{"status": "{status}"}}')
        (tmp_path / name / "metrics.csv").write_text(f"step,train/loss,train/tokens_per_second\n{row}\n")
    (tmp_path / "one/model").mkdir()
    (tmp_path / "one/model/model.safetensors").write_bytes(b"weights")
    told = list(differences(tmp_path / "one", tmp_path / "other"))
    assert told[0] == "the status is interrupted"
    assert "there is none, not model/model.safetensors" in told[1]
    assert told[2:] == ["metrics.csv differs"]
    assert list(differences(tmp_path / "one", tmp_path / "one")) == []
