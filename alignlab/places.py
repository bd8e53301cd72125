"""Where the configs of this very code lie: beside the package in a checkout, inside it where it was installed."""

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


def choices(group: str) -> list[str]:
    """The names in a config group: the stems of its yaml files; none where there is no such group."""
    return sorted(file.stem for file in (CONF / group).glob("*.yaml"))
