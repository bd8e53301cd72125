"""Where configs lie: those of this very code, and further folders that a project file names."""

import sys
from collections.abc import Mapping
from pathlib import Path

from alignlab.errors import ConfigError, nearest

PACKAGE = Path(__file__).resolve().parent


def _folder(name: str) -> Path:
    """A folder of yaml files, of the checkout that this code runs from, whatever else is installed."""
    installed = PACKAGE / name
    return installed if installed.is_dir() else PACKAGE.parent / name


CONF = _folder("conf")
"""Every choice a user can make: a folder a config group, a file a choice."""
SWEEPS = _folder("sweeps")
"""Kept sweeps, a file each."""
PLUGINS = PACKAGE.parent / "hydra_plugins"
"""Where Hydra finds our sweeper, our launcher and the folder of kept sweeps; others may lie beside ours."""


def train_command(package: Path = PACKAGE) -> list[str]:
    """The words that start `train` in another process, for ranks, jobs of a cluster and reruns.

    The code that runs is that of `package`, this very one or a copy of it, whatever else is installed.
    """
    return [sys.executable, "-P", str(package / "__main__.py"), "train"]


def choices(group: str) -> list[str]:
    """The names in a config group: the stems of its yaml files; none where there is no such group."""
    return sorted(file.stem for file in (CONF / group).glob("*.yaml"))


PROJECT = "alignlab.yaml"
"""The project file: its `hydra.searchpath` lists further folders of configs for every command given beside it."""


def project_searchpath(folder: Path) -> list[str]:
    """The folders of configs that the project file of a folder lists, as Hydra takes them; none without such a file.

    An entry is a folder, relative to the file, or a package as `pkg://my_package.conf`. Raises ConfigError for a file
    that is no such list, has other keys, or names a folder that does not exist.
    """
    file = folder / PROJECT
    if not file.is_file():
        return []
    entries = _entries(file)
    missing = [e for e in entries if "://" not in e and not (folder / e).expanduser().is_dir()]
    if missing:
        raise ConfigError(f"{file}: hydra.searchpath: there is no folder '{missing[0]}'")
    return [e if "://" in e else f"file://{(folder / e).expanduser().resolve()}" for e in entries]


def _entries(file: Path) -> list[str]:
    import yaml

    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} is no readable yaml: {error}") from error
    form = f"{file}: expected\nhydra:\n  searchpath: [a folder, pkg://a.package]"
    if not isinstance(content, Mapping) or not isinstance(content.get("hydra", {}), Mapping):
        raise ConfigError(form)
    keys = [*content, *(f"hydra.{key}" for key in content.get("hydra", {}))]
    if strange := [str(key) for key in keys if key not in ("hydra", "hydra.searchpath")]:
        raise ConfigError(f"{file}: {nearest(strange[0], ['hydra.searchpath'])}\n{form}")
    entries = content.get("hydra", {}).get("searchpath", [])
    if not isinstance(entries, list) or not all(isinstance(entry, str) and entry for entry in entries):
        raise ConfigError(form)
    return entries
