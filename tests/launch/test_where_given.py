"""Paths of a command are those of the folder where it was given."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from omegaconf import OmegaConf

from alignlab.errors import ConfigError
from alignlab.launch.run import require_one_folder, stay_where_given
from alignlab.runs.folder import RunFolder


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


def test_a_run_that_another_folder_is_named_for_is_refused(tmp_path):
    (tmp_path / "alias").symlink_to(tmp_path / "run")
    for path in (None, "auto", str(tmp_path / "run"), str(tmp_path / "alias")):
        require_one_folder(OmegaConf.create({"resume": {"path": path}}), RunFolder(tmp_path / "run"))
    with pytest.raises(ConfigError, match="are two"):
        require_one_folder(OmegaConf.create({"resume": {"path": "/elsewhere"}}), RunFolder(tmp_path / "run"))
