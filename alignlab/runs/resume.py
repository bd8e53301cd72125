"""Going on with a run: which one it is, and that it still is the same run."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from alignlab.errors import ConfigError, RunError
from alignlab.runs.folder import RunFolder
from alignlab.runs.overrides import key_of

ELSEWHERE = ("resume", "hydra", "output_dir", "launcher", "sweeps")
"""Overrides that do not make it another run."""
HARMLESS = (
    "run_name",
    "output_dir",
    "cache_dir",
    "optimized_metric",
    "optimized_direction",
    "report",
    "logger",
    "callbacks",
    "launcher",
)
"""Settings that change neither weights nor what is measured."""
LENGTHS = ("trainer.max_steps", "trainer.max_epochs")
"""Settings that a run may go on with if they are raised."""
ABSENT = "(absent)"


def same_run(overrides: Sequence[str], allow: Sequence[str] = ()) -> list[str]:
    """What must be equal for two commands to be the same run; keys that may differ are left out."""
    return sorted(o for o in overrides if not within(key_of(o), (*ELSEWHERE, *allow)))


def unfinished(base: Path, overrides: Sequence[str], allow: Sequence[str] = ()) -> Path | None:
    """The newest run below `base` that was started with these overrides and did not finish."""
    wanted = same_run(overrides, allow)
    for folder in sorted((p for p in base.glob("*") if p.is_dir()), reverse=True):
        summary, started = folder / "summary.json", folder / "overrides.txt"
        if not (summary.is_file() and started.is_file()):
            continue
        if same_run(started.read_text(encoding="utf-8").splitlines(), allow) != wanted:
            continue
        if json.loads(summary.read_text(encoding="utf-8")).get("status") != "finished":
            return folder
    return None


def require_same(cfg: DictConfig, folder: RunFolder) -> list[str]:
    """What changed since the run in this folder began, as lines `key: before -> now`.

    Raises RunError where it was not asked to go on with it, ConfigError that lists what may not
    change: the result would be that of neither config.
    """
    file = folder.path / "config.yaml"
    if not (folder.begun and file.is_file()):
        return []
    if cfg.resume.path is None:
        raise RunError(
            f"{folder.path} already holds a run: add resume=auto to go on with it, or choose another folder"
        )
    before, now = OmegaConf.to_container(OmegaConf.load(file)), OmegaConf.to_container(cfg, resolve=True)
    changed = {key: values for key, values in differences(before, now) if not within(key, ("resume",))}
    refused = [
        key
        for key, values in changed.items()
        if not (within(key, (*HARMLESS, *cfg.resume.allow)) or (key in LENGTHS and _raised(*values)))
    ]
    told = {key: f"{key}: {old} -> {new}" for key, (old, new) in changed.items()}
    if refused:
        lines = "".join(f"\n  {told[key]}" for key in refused)
        raise ConfigError(
            f"{folder.path} was begun with another config (before -> now):{lines}\nSet them back, start a new run, or "
            f"go on all the same with 'resume.allow=[{','.join(refused)}]'"
        )
    return list(told.values())


def differences(before: Any, now: Any, path: str = "") -> Iterator[tuple[str, tuple[Any, Any]]]:
    """Dotted keys with both values, where two configs differ.

    >>> dict(differences({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}, "d": None}))
    {'a.c': (2, 3), 'd': ('(absent)', None)}
    """
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for key in dict.fromkeys([*before, *now]):
            below = f"{path}.{key}" if path else str(key)
            yield from differences(before.get(key, ABSENT), now.get(key, ABSENT), below)
    elif before != now:
        yield path, (before, now)


def within(key: str, paths: Sequence[str]) -> bool:
    """Whether a key is one of these, or below one."""
    return any(key == path or key.startswith((f"{path}.", f"{path}@", f"{path}/")) for path in paths)


def _raised(before: Any, now: Any) -> bool:
    return isinstance(before, int) and isinstance(now, int) and now > before
