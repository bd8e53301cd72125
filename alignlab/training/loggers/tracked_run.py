"""The facts about a run that a logger may ask for."""

from dataclasses import dataclass

from alignlab.runs.folder import RunFolder
from alignlab.settings import Config


@dataclass(frozen=True)
class TrackedRun:
    """A run as trackers see it, given to every logger that has a parameter `tracked_run`.

    `name` and `group` are what trackers call the run, and the sweep that it is part of ("" where there is none).
    """

    folder: RunFolder
    config: Config
    name: str = ""
    group: str = ""
