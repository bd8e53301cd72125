"""Makes the folder `sweeps/` a config group, from whatever folder the command is given: `sweeps=NAME`."""

import sys

from hydra.core.config_search_path import ConfigSearchPath
from hydra.plugins.search_path_plugin import SearchPathPlugin


class KeptSweeps(SearchPathPlugin):
    """A search path more, for programs of ours."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """A group is a folder below a search path, so the folder above it is what is searched."""
        if "alignlab" in sys.modules:  # every Hydra program comes here
            from alignlab.places import SWEEPS

            search_path.append("alignlab", f"file://{SWEEPS.parent}")
