"""Resolvers of the config files: `${user_path:...}` and `${run_folder:...}`."""

import json
from collections.abc import Sequence
from pathlib import Path

from omegaconf import OmegaConf

from alignlab.errors import ConfigError

IGNORED = ("resume=", "hydra.", "output_dir=")
"""Overrides that do not make it another run."""


def register() -> None:
    """Make the resolvers known; may be called again."""
    OmegaConf.register_new_resolver("user_path", lambda path: str(Path(path).expanduser()), replace=True)
    OmegaConf.register_new_resolver("run_folder", run_folder, replace=True, use_cache=True)


def run_folder(base: str, stamp: str, resume: str | None, overrides: Sequence[str]) -> str:
    """Where a run goes: a new folder, the newest unfinished one of the same command, or the one given.

    Raises ConfigError where `resume` names a folder that holds no run.
    """
    if resume == "auto":
        found = unfinished(Path(base), same_run(overrides))
        return str(found) if found else str(_unused(Path(base) / stamp))
    if resume is not None:
        if not (Path(resume) / "overrides.txt").is_file():
            raise ConfigError(
                f"resume={resume}: no run folder there; resume=auto finds the newest unfinished run"
            )
        return str(resume)
    return str(_unused(Path(base) / stamp))


def same_run(overrides: Sequence[str]) -> list[str]:
    """What must be equal for two commands to be the same run."""
    return sorted(o for o in overrides if not o.startswith(IGNORED))


def unfinished(base: Path, overrides: list[str]) -> Path | None:
    """The newest run below `base` that was started with these overrides and did not finish."""
    for folder in sorted((p for p in base.glob("*") if p.is_dir()), reverse=True):
        summary, started = folder / "summary.json", folder / "overrides.txt"
        if not (summary.is_file() and started.is_file()):
            continue
        if same_run(started.read_text(encoding="utf-8").splitlines()) != overrides:
            continue
        if json.loads(summary.read_text(encoding="utf-8")).get("status") != "finished":
            return folder
    return None


def _unused(folder: Path) -> Path:
    """The folder, or the first numbered variant of it that does not exist yet."""
    number, free = 1, folder
    while free.exists():
        number += 1
        free = folder.with_name(f"{folder.name}-{number}")
    return free
