"""A run folder may come from somebody else: what its files name is run only where it is known, or trusted by name."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from alignlab.errors import AlignlabError, ConfigError
from alignlab.signatures import read_signature

OWN = re.compile(
    r"""
    alignlab\.(losses|regularizers|modifiers|metrics|policies|recipes|lab|data\.(sources|transforms))\.[\w.]+
    | alignlab\.(judges|online\.(pairs|rejection_sampling|segments|trees)|passes\.reward_margins|sampling)\.[\w.]+
    | alignlab\.training\.(optim|loggers\.\w+|callbacks\.\w+|strategies\.(engine|ddp|fsdp|fsdp2|deepspeed))\.\w+
    """,
    re.VERBOSE,
)
"""The rooms of alignlab whose functions and classes a config names."""
LIBRARIES = re.compile(
    r"""
    torch\.optim\.(lr_scheduler\.)?[A-Z]\w+
    | lightning\.pytorch\.(callbacks|loggers)\.[A-Z]\w+
    | transformers\.(optimization\.)?get_\w*schedule\w*
    | hydra\._internal\.core_plugins\.basic_(launcher\.BasicLauncher|sweeper\.BasicSweeper)
    | hydra_plugins\.(hydra_joblib_launcher\.joblib_launcher\.Joblib|alignlab_slurm\.Slurm)Launcher
    | hydra_plugins\.alignlab_optuna\.OptunaSweeper
    | alignlab\.launch\.sweep\.SweepTable
    """,
    re.VERBOSE,
)
"""What a config of somebody else may name beside those."""
LOG_KEYS = ("()", "class")
"""The keys by which a config of Python's logging names what it calls."""
REMOTE_CODE = "trust_remote_code"
SECRET = "key_env"
"""The key by which a config names the environment variable whose content goes to a server."""


def require_trusted(config: Mapping[str, Any], file: Path, trusted: Sequence[str]) -> None:
    """Raise ConfigError where a config that was read from a file names code that is not known.

    Known are the targets of alignlab's own configs, optimizers and schedules of torch and transformers, callbacks and
    loggers of Lightning. `trusted` are packages that the caller vouches for, by their first names; with
    `trust_remote_code` among them a model may bring its own code.
    """
    unknown = [(path, name) for path, name in named_code(config) if not is_trusted(name, trusted)]
    if unknown:
        path, name = unknown[0]
        package = name.partition(".")[0]
        raise ConfigError(
            f"{file}: {path}={name} names code that would be run, or a secret that would be sent, and a file from "
            f"somebody else may name any. If you know it, say so: trust=[{package}], or in alignlab.yaml of the "
            f"current folder: trust: [{package}]"
        )


def is_trusted(target: str, trusted: Sequence[str]) -> bool:
    """Whether a dotted path is one that somebody else's config may name, or lies in a trusted package."""
    if target.partition(".")[0] in trusted:
        return True
    return bool(LIBRARIES.fullmatch(target) or (OWN.fullmatch(target) and _is_defined(target)))


def named_code(node: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield (path, dotted path) for everything that a config names to be called, and `trust_remote_code` as itself.

    A secret that would be sent to a server that the config names is `environment.<its variable>`.
    """
    if isinstance(node, Mapping):
        for key, value in node.items():
            inside = f"{path}.{key}" if path else str(key)
            own = inside == "evaluation.reward" or (key == "function" and isinstance(value, str))
            if key == "_target_" or own or (key in LOG_KEYS and "logging" in path):
                if value is not None and not (key == "class" and str(value).startswith("logging.")):
                    yield inside, str(value)
            elif key == SECRET:
                if value is not None:
                    yield inside, f"environment.{value}"
            elif key == REMOTE_CODE:
                if value:
                    yield inside, REMOTE_CODE
            else:
                yield from named_code(value, inside)
    elif isinstance(node, (list, tuple)):
        for place, value in enumerate(node):
            yield from named_code(value, f"{path}[{place}]")


def _is_defined(target: str) -> bool:
    """Whether a module of our own defines the name, and does not only import it from elsewhere."""
    try:
        return read_signature(target) is not None
    except AlignlabError:
        return False
