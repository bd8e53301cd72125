"""The resolvers of the config files: `${user_path:...}`, `${run_folder:...}`, `${tasks_per_node:...}`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from alignlab.errors import ConfigError
from alignlab.runs.resume import unfinished
from alignlab.settings import FolderName, Place, misfit, typed


def register() -> None:
    """Register the resolvers with OmegaConf; may be called again."""
    OmegaConf.register_new_resolver("user_path", lambda path: str(Path(path).expanduser()), replace=True)
    OmegaConf.register_new_resolver("run_folder", run_folder, replace=True, use_cache=True)
    OmegaConf.register_new_resolver("tasks_per_node", lambda gpus: max(1, gpus), replace=True)


def run_folder(
    output_dir: Any, run_name: Any, stamp: str, resume: Mapping[str, Any], overrides: Sequence[str]
) -> str:
    """Return the folder of a run: a new one, the newest unfinished one of the same command, or the one given.

    `resume` is the node of conf/resume. Raises ConfigError where it names a folder that holds no run, and for an
    `output_dir` that is no path or a `run_name` that is no name of a folder: it is made before anything is checked.
    """
    name = run_name if isinstance(run_name, bool) or not isinstance(run_name, int) else str(run_name)
    for key, value, form in (("output_dir", output_dir, Place), ("run_name", name, FolderName)):
        if message := misfit(value, form):
            raise ConfigError(f"{key}={typed(value)}: {message}")
    path, base = resume["path"], f"{output_dir}/{name}"
    if path == "auto":
        folder = unfinished(Path(base), overrides, resume["allow"])
        return str(folder) if folder else str(unused(Path(base) / stamp))
    if path is not None:
        if not (Path(path) / "overrides.txt").is_file():
            raise ConfigError(
                f"resume.path={path}: no run folder there; resume=auto finds the newest unfinished run"
            )
        return str(path)
    return str(unused(Path(base) / stamp))


def unused(folder: Path) -> Path:
    """Return the folder, or the first numbered variant of it that does not exist yet."""
    number, free = 1, folder
    while free.exists():
        number += 1
        free = folder.with_name(f"{folder.name}-{number}")
    return free
