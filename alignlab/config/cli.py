"""The command line around a Hydra main: clear errors instead of traceback walls, and exit codes."""

import os
import re
import sys
from collections.abc import Callable
from typing import Any

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from alignlab.config import resolvers
from alignlab.config.run import Interrupted
from alignlab.config.sweep import SweepTable
from alignlab.errors import AlignlabError, nearest


def launch(main: Callable[[], Any]) -> None:
    """Run a Hydra main; every foreseen error is one message on standard error and exit code 1."""
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # let errors through to here
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    resolvers.register()
    try:
        main()
    except Interrupted as stop:
        _end(str(stop), stop.exit_code)
    except AlignlabError as error:
        _end(f"error: {error}", 1)
    except (HydraException, OmegaConfBaseException) as error:
        _end(f"error: {explain(error)}", 1)
    except OSError as error:
        if not _before_run(error):
            raise
        _end(
            f"error: cannot make the run folder: {error}. Choose another with output_dir=... or hydra.run.dir=...",
            1,
        )
    finally:
        if SweepTable.current is not None:
            SweepTable.current.show()


def _end(message: str, code: int) -> None:
    sys.stdout.flush()
    print(message, file=sys.stderr)
    sys.exit(code)


def _before_run(error: OSError) -> bool:
    """Whether an error arose before the run itself began: only Hydra, making the folder, was at work."""
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_globals.get("__name__") == "alignlab.config.run":
            return False
        trace = trace.tb_next
    return True


def explain(error: Exception) -> str:
    """Hydra's complaint, shorter, with the nearest valid name."""
    text = str(error).strip()
    if isinstance(error.__cause__, AlignlabError):
        return str(error.__cause__)
    if found := re.search(r"Could not override '([^']+)'", text):
        key = found.group(1)
        group, _, rest = key.partition(".")
        name = rest.partition(".")[0]
        orphan = group in ("regularizers", "pipeline", "logger") and name not in valid_keys(group)
        way = f"choose it first: {group}=[{name}]" if orphan and name in options(group) else ""
        way = way or nearest(key, known_keys())
        return f"there is no config key '{key}': {way}"
    if found := re.search(r"Could not (?:find|load) '([^']+)'", text):
        group, _, name = found.group(1).rpartition("/")
        return (
            f"there is no {group}={name}: {nearest(name, options(group))} (of: {', '.join(options(group))})"
        )
    return text.split("\n\nConfig search path")[0]


def options(group: str) -> list[str]:
    """Choices of a config group."""
    from alignlab.objectives.load import choices

    try:
        return choices(group)
    except (FileNotFoundError, NotADirectoryError):
        return []


def valid_keys(group: str) -> set[str]:
    """Keys chosen in a multi-select group on this command line."""
    for argument in sys.argv[1:]:
        if argument.startswith(f"{group}="):
            return set(re.findall(r"\w+", argument.partition("=")[2]))
    return set()


def known_keys() -> list[str]:
    """Every dotted key that the groups chosen on this command line bring, as far as they compose."""
    from hydra import compose, initialize_config_module
    from hydra.core.global_hydra import GlobalHydra
    from omegaconf import DictConfig

    def walk(node: Any, path: str) -> list[str]:
        if not isinstance(node, DictConfig):
            return [path]
        below = [
            key
            for name in map(str, node)
            for key in walk(node._get_node(name), f"{path}.{name}" if path else name)
        ]
        return [path, *below] if path else below

    GlobalHydra.instance().clear()
    with initialize_config_module("alignlab.conf", version_base=None):
        for chosen in ([a for a in sys.argv[1:] if re.fullmatch(r"\w+=.*", a)], []):
            try:
                return walk(compose("train", overrides=chosen), "")
            except (HydraException, OmegaConfBaseException):
                continue
    return []
