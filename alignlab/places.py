"""Where the configs of this very code lie: beside the package in a checkout, inside it where it was installed."""

import sys
from pathlib import Path

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
