"""Compose a config as the command line would, without running anything."""

from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from alignlab.config import resolvers
from alignlab.config.mixture import with_parts
from alignlab.errors import ConfigError
from alignlab.launch.run import resolved
from alignlab.places import CONF, choices
from tests.repository import SHARED

STORIES = SHARED / "data/models/stories260k"


def composed(*overrides: str) -> dict[str, Any]:
    """The resolved config that these overrides make."""
    resolvers.register()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base=None):
        return with_parts(resolved(compose("train", overrides=list(overrides))))


def problem(config: dict[str, Any]) -> str:
    """What check() says about a config; empty where it is in order."""
    from alignlab.assembly.check import check

    try:
        check(config)
    except ConfigError as error:
        return str(error)
    return ""


def group(name: str) -> list[str]:
    """Every choice of a config group."""
    return [choice for choice in choices(name) if (name, choice) != ("data", "knobs")]
