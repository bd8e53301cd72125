"""Where a run goes: a new folder, the newest unfinished one of the same command, or the one named."""

import json

import pytest

from alignlab.config.resolvers import run_folder
from alignlab.errors import ConfigError

LINE = ["objective=dpo", "seed=1"]
NEW = {"path": None, "allow": []}
AUTO = {"path": "auto", "allow": []}


def made(folder, status, overrides=LINE):
    folder.mkdir(parents=True)
    (folder / "overrides.txt").write_text("".join(f"{o}\n" for o in overrides))
    (folder / "summary.json").write_text(json.dumps({"status": status}))
    return str(folder)


def test_a_new_run_has_a_folder_of_its_own(tmp_path):
    assert run_folder(str(tmp_path.parent), tmp_path.name, "now", NEW, LINE) == str(tmp_path / "now")
    (tmp_path / "now").mkdir()
    assert run_folder(str(tmp_path.parent), tmp_path.name, "now", NEW, LINE) == str(tmp_path / "now-2")
    (tmp_path / "now-2").mkdir()
    assert run_folder(str(tmp_path.parent), tmp_path.name, "now", NEW, LINE) == str(tmp_path / "now-3")


@pytest.mark.parametrize("status", ["interrupted", "failed"])
def test_auto_takes_the_newest_unfinished_run_of_the_command(status, tmp_path):
    made(tmp_path / "2026-01-01", "interrupted")
    newest = made(tmp_path / "2026-01-03", status, ["seed=1", "resume=auto", "objective=dpo"])
    made(tmp_path / "2026-01-04", "finished")
    made(tmp_path / "2026-01-05", "interrupted", ["objective=ipo"])
    asked = [*LINE, "resume=auto", "hydra.job.chdir=false", "output_dir=x"]
    assert run_folder(str(tmp_path.parent), tmp_path.name, "now", AUTO, asked) == newest


def test_auto_with_nothing_to_resume_starts_anew(tmp_path):
    made(tmp_path / "2026-01-04", "finished")
    (tmp_path / "stray.txt").write_text("no run")
    (tmp_path / "empty").mkdir()
    assert run_folder(str(tmp_path.parent), tmp_path.name, "now", AUTO, LINE) == str(tmp_path / "now")
    assert run_folder(str(tmp_path), "nowhere", "now", AUTO, LINE) == str(tmp_path / "nowhere/now")


def test_a_folder_by_name(tmp_path):
    named = made(tmp_path / "run", "interrupted", ["anything=1"])
    assert run_folder(str(tmp_path.parent), tmp_path.name, "now", {"path": named, "allow": []}, LINE) == named
    with pytest.raises(ConfigError, match="no run folder there; resume=auto"):
        run_folder(
            str(tmp_path.parent), tmp_path.name, "now", {"path": str(tmp_path / "other"), "allow": []}, LINE
        )


def test_auto_finds_the_run_whose_settings_may_differ(tmp_path):
    begun = made(tmp_path / "2026-01-01", "interrupted", [*LINE, "optimizer.lr=1"])
    asked = [*LINE, "optimizer.lr=2", "resume=auto", "resume.allow=[optimizer.lr]"]
    assert (
        run_folder(
            str(tmp_path.parent), tmp_path.name, "now", {"path": "auto", "allow": ["optimizer.lr"]}, asked
        )
        == begun
    )
    assert run_folder(str(tmp_path.parent), tmp_path.name, "now", AUTO, asked) == str(tmp_path / "now")


@pytest.mark.parametrize("name", ["../../x", "a/b", "..", "", " ", "a\0b", "x" * 300, None, True])
def test_a_run_stays_below_its_output_dir(tmp_path, name):
    with pytest.raises(ConfigError, match=r"run_name=.*: expected the name of one folder"):
        run_folder(str(tmp_path), name, "now", NEW, LINE)
    assert run_folder(str(tmp_path), 2026, "now", NEW, LINE) == str(tmp_path / "2026/now")
