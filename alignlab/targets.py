"""Imports the Python objects that dotted paths in yaml files name."""

from importlib import import_module
from typing import Any

from alignlab.errors import ConfigError, OwnCodeError, nearest
from alignlab.own_code import described, own_frame


def locate(target: str, path: str = "_target_") -> Any:
    """Import the object `package.module.name`; ConfigError, which names the config key `path`, where there is none.

    >>> locate("math.sqrt")(9.0)
    3.0
    """
    module_name, _, attribute = target.rpartition(".")
    if not module_name:
        raise ConfigError(f"{path}: '{target}' is no dotted path (package.module.name)")
    try:
        module = import_module(module_name)
    except ImportError as error:
        raise ConfigError(f"{path}: cannot import '{module_name}': {error}") from error
    except Exception as error:
        what = f"{path}: importing '{module_name}'"
        raise OwnCodeError(described(what, error, own_frame(error))) from error
    if not hasattr(module, attribute):
        public = [name for name in dir(module) if not name.startswith("_")]
        raise ConfigError(f"{path}: '{module_name}' has no '{attribute}': {nearest(attribute, public)}")
    return getattr(module, attribute)
