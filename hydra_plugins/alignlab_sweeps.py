"""Makes the folder `sweeps/` a config group, from whatever folder the command is given: `sweeps=NAME`."""

import sys
from pathlib import Path

from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigResult
from hydra.plugins.search_path_plugin import SearchPathPlugin

GROUP = "sweeps"


class SweepsSource(FileConfigSource):
    """A source of configs `sweeps://FOLDER` that has one group, `sweeps`: the files of that folder alone."""

    @staticmethod
    def scheme() -> str:
        """What its paths begin with."""
        return GROUP

    def load_config(self, config_path: str) -> ConfigResult:
        """The sweep `sweeps/NAME`."""
        return super().load_config(_inside(config_path))

    def is_group(self, config_path: str) -> bool:
        """The root, and `sweeps` below it."""
        return config_path in ("", GROUP)

    def is_config(self, config_path: str) -> bool:
        """Whether that is `sweeps/NAME` and NAME has a file."""
        return config_path.startswith(f"{GROUP}/") and super().is_config(_inside(config_path))

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        """The group at the root, and in it the names of the sweeps."""
        if config_path == "":
            return [] if results_filter == ObjectType.CONFIG else [GROUP]
        names = sorted(file.stem for file in Path(self.path).glob("*.yaml"))
        return names if config_path == GROUP and results_filter != ObjectType.GROUP else []


class KeptSweeps(SearchPathPlugin):
    """A search path more, for programs of ours."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Add the folder of this very code, if it has one; every program that uses Hydra comes here."""
        if "alignlab" in sys.modules:
            from alignlab.places import SWEEPS

            if SWEEPS.is_dir():  # a snapshot of the code has none, for its jobs are single runs
                search_path.append("alignlab", f"{GROUP}://{SWEEPS}")


def _inside(config_path: str) -> str:
    return config_path.removeprefix(f"{GROUP}/")
