"""Where configs lie, those of this very code and further folders that a project file names; names of files."""

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
ADAPTER = "adapter_config.json"
"""The file of a model folder that makes it an adapter's, as peft names it."""


def train_command(package: Path = PACKAGE) -> list[str]:
    """The words that start `train` in another process, for ranks, jobs of a cluster and reruns.

    The code that runs is that of `package`, this very one or a copy of it, whatever else is installed.
    """
    return [sys.executable, "-P", str(package / "__main__.py"), "train"]


def choices(group: str) -> list[str]:
    """The names in a config group: the stems of its yaml files; none where there is no such group."""
    return sorted(file.stem for file in (CONF / group).glob("*.yaml"))


PROJECT = "alignlab.yaml"
"""The project file: what it says holds for every command given beside it."""
PROJECT_FORM = """expected (both keys may be left out)
hydra:
  searchpath: [a folder of configs, pkg://a.package]
trust: [a package that configs of run folders may name]"""


def project_searchpath(folder: Path) -> list[str]:
    """The folders of configs that the project file of a folder lists, as Hydra takes them; none without such a file.

    An entry `hydra.searchpath` of the file is a folder, relative to the file, or a package as `pkg://my_package.conf`.
    Raises ConfigError for a file of another form, or that names a folder which does not exist.
    """
    entries = _project(folder)["searchpath"]
    missing = [e for e in entries if "://" not in e and not (folder / e).expanduser().is_dir()]
    if missing:
        raise ConfigError(f"{folder / PROJECT}: hydra.searchpath: there is no folder '{missing[0]}'")
    return [e if "://" in e else f"file://{(folder / e).expanduser().resolve()}" for e in entries]


def project_trust(folder: Path) -> list[str]:
    """The packages that the project file of a folder trusts configs of run folders to name; ConfigError as above."""
    return _project(folder)["trust"]


def _project(folder: Path) -> dict[str, list[str]]:
    import yaml

    file = folder / PROJECT
    if not file.is_file():
        return {"searchpath": [], "trust": []}
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} is no readable yaml: {error}") from error
    hydra = content.get("hydra", {}) if isinstance(content, Mapping) else None
    if not isinstance(hydra, Mapping):
        raise ConfigError(f"{file}: {PROJECT_FORM}")
    lists = {"hydra.searchpath": hydra.get("searchpath", []), "trust": content.get("trust", [])}
    keys = [*(key for key in content if key != "hydra"), *(f"hydra.{key}" for key in hydra)]
    if strange := [str(key) for key in keys if key not in lists]:
        raise ConfigError(f"{file}: {strange[0]}: {nearest(strange[0], lists)}; {PROJECT_FORM}")
    for entries in lists.values():
        if not isinstance(entries, list) or not all(isinstance(entry, str) and entry for entry in entries):
            raise ConfigError(f"{file}: {PROJECT_FORM}")
    return {"searchpath": lists["hydra.searchpath"], "trust": lists["trust"]}
