"""Going on with a run: which one it is, and that it still is the same run."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from alignlab.errors import ConfigError, RunError
from alignlab.runs.config_keys import changes_no_result, differences, within
from alignlab.runs.overrides import key_of
from alignlab.runs.record import Record

log = logging.getLogger(__name__)

ELSEWHERE = ("resume", "hydra", "output_dir", "launcher", "sweeps")
"""Overrides by which two commands may differ that mean the same run."""
LENGTHS = ("trainer.max_steps", "trainer.max_epochs")
"""Keys that a run may go on with if they are raised."""


def same_run(overrides: Sequence[str], allow: Sequence[str] = ()) -> list[str]:
    """The overrides that must be equal for two commands to mean the same run; keys in `allow` may differ, too."""
    return sorted(text for text in overrides if not within(key_of(text), (*ELSEWHERE, *allow)))


def unfinished(base: Path, overrides: Sequence[str], allow: Sequence[str] = ()) -> Path | None:
    """The newest run below `base` that was started with these overrides and did not finish, if there is one.

    A folder whose summary cannot be read is passed over, with a warning.
    """
    wanted = same_run(overrides, allow)
    for folder in sorted((path for path in base.glob("*") if path.is_dir()), reverse=True):
        if not ((folder / "summary.json").is_file() and (folder / "overrides.txt").is_file()):
            continue
        run = Record(folder)
        if not run.summary:
            log.warning("%s is passed over: whether it finished cannot be read", folder)
        elif same_run(run.overrides, allow) == wanted and not run.finished:
            return folder
    return None


def require_same(config: Mapping[str, Any], run: Record) -> list[str]:
    """The changes since a run began, as lines `key: before -> now`; `config` is the resolved one of now.

    Raises RunError where the folder holds a run that nobody asked to go on with, and ConfigError that lists what may
    not change: the result would be that of neither config.
    """
    if not run.folder.begun:
        return []
    if not run.config:
        raise RunError(
            f"{run.path} holds checkpoints, and no config.yaml that can be read, so that nothing tells of what: "
            "restore that file, or choose another folder"
        )
    if config["resume"]["path"] is None:
        raise RunError(
            f"{run.path} already holds a run: add resume=auto to go on with it, or choose another folder"
        )
    changed = {key: values for key, values in differences(run.config, config) if not within(key, ("resume",))}
    lines = {key: f"{key}: {before} -> {now}" for key, (before, now) in changed.items()}
    allowed = config["resume"]["allow"]
    refused = [
        key
        for key, values in changed.items()
        if not (changes_no_result(key) or within(key, allowed) or (key in LENGTHS and _raised(*values)))
    ]
    if refused:
        listed = "".join(f"\n  {lines[key]}" for key in refused)
        raise ConfigError(
            f"{run.path} was begun with another config (before -> now):{listed}\nSet them back, start a new run, or "
            f"go on all the same with 'resume.allow=[{','.join(refused)}]'"
        )
    return [*lines.values()]


def _raised(before: Any, now: Any) -> bool:
    return isinstance(before, int) and isinstance(now, int) and now > before
