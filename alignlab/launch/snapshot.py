"""A copy of the code at the moment a job is sent, so that later edits do not reach jobs that still wait."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import alignlab
from alignlab.errors import ConfigError
from alignlab.places import CONF, PLUGINS
from alignlab.runs.manifest import commit

SKIPPED = shutil.ignore_patterns("__pycache__", ".*")


def take(folder: Path, more: Sequence[str], configs: Sequence[Path]) -> None:
    """Copy alignlab, its configs, its plugins of Hydra and other paths into a snapshot folder.

    A process that `places.train_command` of the copy starts has that folder first on its path, so the copies are what
    it imports. Raises ConfigError where something to be copied is not there.
    """
    missing = [path for path in more if not Path(path).exists()]
    if missing:
        raise ConfigError(f"launcher.snapshot names what does not exist: {', '.join(missing)}")
    package = folder / "alignlab"
    _copy(Path(alignlab.__file__).parent, package)
    _copy(CONF, package / "conf")
    for plugin in PLUGINS.glob("alignlab_*.py"):
        _copy(plugin, folder / PLUGINS.name / plugin.name)
    (package / "commit.json").write_text(json.dumps(commit()), encoding="utf-8")
    for path in map(Path, more):
        _copy(path.resolve(), folder / path.resolve().name)
    for source in configs:
        _copy(source, kept(folder, source))


def kept(folder: Path, source: Path) -> Path:
    """Return where the snapshot holds a folder of configs."""
    return folder / "configs" / source.as_posix().strip("/").replace("/", "_")


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=SKIPPED, dirs_exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)
