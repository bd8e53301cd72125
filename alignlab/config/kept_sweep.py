"""A kept sweep with values of one's own: what is typed stands for what its file has."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from alignlab.config.typed import parsed
from alignlab.places import CONF, SWEEPS, project_searchpath
from alignlab.runs.overrides import key_of, quoted

FOLDER = ("--config-dir", "-cd")
"""The option of Hydra that names a folder of configs."""


def with_own_values(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The words of a command line as Hydra takes them, and a line for each value of a kept sweep that they replace.

    Hydra composes the config of the sweep itself with what is typed, and knows nothing there of what only the jobs
    choose: `pipeline.flip_noise.rate=0.3` would name no key. What lies below such a choice becomes one of the
    parameters of the sweep. Without `sweeps=NAME`, or with one that has no file, the words stay as they are.
    """
    name = next((word.partition("=")[2] for word in words if word.startswith("sweeps=")), "")
    params = _params(name, words)
    left, own, lines = [], {}, []
    for word in words:
        key, _, value = word.partition("=")
        if key in params:
            lines.append(f"sweeps={name}: {word}, in place of {params[key]}")
        if _of_a_job(word, params):
            own[key] = value
        else:
            left.append(word)
    if own:
        pairs = ",".join(f"{key}:{quoted(value)}" for key, value in own.items())
        left.append(f"++hydra.sweeper.params={{{pairs}}}")
    return left, lines


def _of_a_job(word: str, params: Mapping[str, Any]) -> bool:
    """Whether a word sets one value of a key below a group that the jobs of the sweep choose."""
    group = key_of(word).partition(".")[0]
    if word[:1] in "-+~" or group == key_of(word) or group not in params or not (CONF / group).is_dir():
        return False
    (override,) = parsed([word])
    return not override.is_sweep_override()


def _params(name: str, words: Sequence[str]) -> Mapping[str, Any]:
    """What the jobs of a kept sweep set, by key; nothing where no file has that name."""
    typed = [Path(folder) for option, folder in pairwise(words) if option in FOLDER]
    listed = [Path(place.removeprefix("file://")) for place in project_searchpath(Path.cwd())]
    for folder in (*(place / "sweeps" for place in (*typed, *listed)), SWEEPS):
        if name and (file := folder / f"{name}.yaml").is_file():
            node = yaml.safe_load(file.read_text(encoding="utf-8"))
            return ((node.get("hydra") or {}).get("sweeper") or {}).get("params") or {}
    return {}
