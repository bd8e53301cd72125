"""Paths of a command are those of the folder where it was given."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from alignlab.launch.run import stay_where_given


@pytest.mark.parametrize("chdir", [True, False, None])
def test_a_job_that_hydra_moved_goes_back_and_says_so(tmp_path, monkeypatch, caplog, chdir):
    run = tmp_path / "run"
    run.mkdir()
    monkeypatch.chdir(run if chdir else tmp_path)
    hydra = SimpleNamespace(
        job=SimpleNamespace(chdir=chdir), runtime=SimpleNamespace(cwd=str(tmp_path), output_dir=str(run))
    )
    stay_where_given(hydra)
    assert Path.cwd() == tmp_path
    assert ("hydra.job.chdir=true" in caplog.text) == bool(chdir)
