"""Many runs, brought together: one group for each choice of settings, its runs told apart by their seeds."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alignlab.errors import RunError
from alignlab.runs.record import Record, read_run

APART = (
    "run_name",
    "output_dir",
    "cache_dir",
    "logger",
    "callbacks",
    "resume",
    "optimized_metric",
    "optimized_direction",
    "launcher",
)
"""Settings that make no other experiment."""
Settings = Mapping[str, str]


@dataclass(frozen=True)
class Group:
    """Finished runs that differ by their seeds alone; `label` is what sets them apart from the other groups."""

    label: str
    choices: Settings
    """The overrides that not all runs share, by key."""
    runs: Mapping[int, Record]
    """By seed."""

    def values(self, metric: str) -> dict[int, float]:
        """A final metric by seed, of the runs that have it."""
        return {seed: run.final[metric] for seed, run in self.runs.items() if metric in run.final}


def find_runs(folders: Sequence[Path]) -> list[Record]:
    """All runs below these folders, by path; stages belong to their run. RunError where there is none."""
    for folder in folders:
        if not folder.is_dir():
            raise RunError(f"runs={folder}: no such folder")
    found = {file.parent.resolve() for folder in folders for file in folder.rglob("summary.json")}
    runs = [read_run(path) for path in sorted(found, key=_by_number) if path.parent.name != "stages"]
    if not runs:
        raise RunError(f"runs={','.join(map(str, folders))}: no run in there (a run has a summary.json)")
    return runs


def grouped(runs: Sequence[Record]) -> list[Group]:
    """Groups in the order of their first runs; of two finished runs that are the same, the later one.

    Raises RunError where no run is finished.
    """
    finished = [run for run in runs if run.summary.get("status") == "finished"]
    if not finished:
        raise RunError(f"none of these {len(runs)} runs is finished")
    members: dict[frozenset[tuple[str, str]], list[Record]] = {}
    for run in finished:
        members.setdefault(frozenset(flat(run.config).items()), []).append(run)
    shared = set.intersection(*(set(run.overrides) for run in finished))
    groups: list[Group] = []
    for those in members.values():
        choices = dict(_split(text) for text in those[0].overrides if text not in shared and not _seeds(text))
        label = " ".join(f"{key}={value}" for key, value in choices.items()) or those[0].title
        alike = sum(group.label.partition(" #")[0] == label for group in groups)
        label = f"{label} #{alike + 1}" if alike else label
        groups.append(Group(label, choices, {int(run.config.get("seed", 0)): run for run in those}))
    return groups


def short_names(groups: Sequence[Group]) -> dict[str, str]:
    """Labels as a legend has room for: keys without the path to them, where that leaves the names different.

    >>> short_names([Group(f"optimizer.lr={lr}", {"optimizer.lr": lr}, {}) for lr in ("0.1", "0.2")])
    {'optimizer.lr=0.1': 'lr=0.1', 'optimizer.lr=0.2': 'lr=0.2'}
    """
    names = {
        group.label: " ".join(f"{key.rpartition('.')[2]}={value}" for key, value in group.choices.items())
        for group in groups
    }
    whole = len(set(names.values())) == len(groups) and all(names.values())
    return names if whole else {group.label: group.label for group in groups}


def flat(config: Mapping[str, Any], path: str = "") -> dict[str, str]:
    """A config by dotted keys, without what makes no other experiment, and without seeds.

    >>> flat({"objective": {"beta": 0.1}, "seed": 3, "logger": {"csv": {}}})
    {'objective.beta': '0.1'}
    """
    found: dict[str, str] = {}
    for key, value in config.items():
        where = f"{path}.{key}" if path else key
        if key == "seed" or where in APART:
            continue
        found |= flat(value, where) if isinstance(value, Mapping) else {where: str(value)}
    return found


def metrics_of(groups: Sequence[Group]) -> Iterator[str]:
    """Every final metric that some run has, in order."""
    yield from dict.fromkeys(name for group in groups for run in group.runs.values() for name in run.final)


def _split(override: str) -> tuple[str, str]:
    key, _, value = override.partition("=")
    return key.lstrip("+~"), value


def _seeds(override: str) -> bool:
    return _split(override)[0].rpartition(".")[2] == "seed"


def _by_number(path: Path) -> tuple[Path, int, str]:
    """Jobs of a sweep by their number: 2 before 10."""
    return path.parent, int(path.name) if path.name.isdigit() else -1, path.name


def grid(groups: Sequence[Group]) -> tuple[tuple[str, list[str]], tuple[str, list[str]]] | None:
    """The two settings of a sweep over just two, with their values in order; None of any other."""
    keys = list(dict.fromkeys(key for group in groups for key in group.choices))
    if len(keys) != 2 or any(len(group.choices) != 2 for group in groups):
        return None
    values = [sorted({group.choices[key] for group in groups}, key=_in_order) for key in keys]
    if min(map(len, values)) < 2:
        return None
    return (keys[0], values[0]), (keys[1], values[1])


def number_of(text: str) -> float | None:
    """The number that a setting is; None of a word.

    >>> number_of("1e-4"), number_of("dpo")
    (0.0001, None)
    """
    try:
        return float(text)
    except ValueError:
        return None


def _in_order(value: str) -> tuple[int, float, str]:
    number = number_of(value)
    return (1, 0.0, value) if number is None else (0, number, "")
