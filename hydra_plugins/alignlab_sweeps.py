"""Adds to where Hydra looks: the folder `sweeps/`, as a group of its own, and what a project file names."""

import sys
from pathlib import Path

from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.hydra_config import HydraConfig
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


class MorePlaces(SearchPathPlugin):
    """Two search paths more, for programs of ours."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Add `sweeps/` of this very code, and the folders of `alignlab.yaml` where the command was given."""
        if "alignlab" not in sys.modules:  # every program that uses Hydra comes here
            return
        from alignlab.places import PROJECT, SWEEPS, project_searchpath

        if SWEEPS.is_dir():  # a snapshot of the code has none, for its jobs are single runs
            search_path.append("alignlab", f"{GROUP}://{SWEEPS}")
        given_in = HydraConfig.get().runtime.cwd if HydraConfig.initialized() else Path.cwd()
        for entry in project_searchpath(Path(given_in)):
            search_path.append(PROJECT, entry)


def _inside(config_path: str) -> str:
    return config_path.removeprefix(f"{GROUP}/")
