"""Runs brought together by their settings: what makes two runs the same setting, and what such a setting is called.

Two runs have the same setting if their composed configs agree in everything but seeds and what changes no result
(`config_keys.CHANGES_NO_RESULT`). A run that died before it had a config goes by its overrides instead.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain

from alignlab.errors import RunError
from alignlab.runs.config_keys import ABSENT, changes_no_result, flat, is_seed
from alignlab.runs.overrides import key_of, that_change_results
from alignlab.runs.record import Record

MOST_KEYS = 3
"""Keys that are added to the names of settings whose overrides do not tell them apart; of more, a number is."""
Key = frozenset[tuple[str, str]]


@dataclass(frozen=True)
class Setting:
    """Runs that differ by their seeds alone, whatever became of them. `name` tells them from the other settings."""

    name: str
    choices: Mapping[str, str]
    """The values, by key, that tell this setting from the others."""
    runs: Sequence[Record]

    @cached_property
    def finished(self) -> Mapping[str, Record]:
        """The runs that came to their end, by seed; of two runs that are the same, the later one."""
        return {run.seed: run for run in self.runs if run.finished}

    def values(self, metric: str) -> dict[str, float]:
        """A final metric by seed, of the finished runs that have a number for it."""
        results = {seed: run.result(metric) for seed, run in self.finished.items()}
        return {seed: value for seed, value in results.items() if value is not None}

    @property
    def command(self) -> str:
        """The command that makes the first of these runs again, of a finished one where there is one."""
        return next(run.command for run in [*self.finished.values(), *self.runs])


def settings_of(runs: Sequence[Record]) -> list[Setting]:
    """The settings of these runs, in the order of their first runs."""
    members: dict[Key, list[Record]] = {}
    for run, key in zip(runs, _keys(runs), strict=True):
        members.setdefault(key, []).append(run)
    typed = [that_change_results(those[0].overrides) for those in members.values()]
    shared = set.intersection(*map(set, typed)) if typed else set()
    settings = []
    for those, overrides in zip(members.values(), typed, strict=True):
        own = [text for text in overrides if text not in shared]
        choices = {key_of(text): text.partition("=")[2] for text in own}
        name = " ".join(text.lstrip("+") for text in own) or those[0].title
        settings.append(Setting(name, choices, those))
    return _told_apart(settings)


def finished_settings(runs: Sequence[Record]) -> list[Setting]:
    """The settings of those of these runs that are finished. RunError where none is."""
    finished = [run for run in runs if run.finished]
    if not finished:
        raise RunError(f"none of these {len(runs)} runs is finished")
    return settings_of(finished)


def short_names(settings: Sequence[Setting]) -> dict[str, str]:
    """Names as a legend has room for: keys without the path to them, where that leaves the names different.

    >>> short_names([Setting(f"optimizer.lr={lr}", {"optimizer.lr": lr}, []) for lr in ("0.1", "0.2")])
    {'optimizer.lr=0.1': 'lr=0.1', 'optimizer.lr=0.2': 'lr=0.2'}
    """
    names = {
        setting.name: " ".join(f"{key.rpartition('.')[2]}={value}" for key, value in setting.choices.items())
        for setting in settings
    }
    differ = len(set(names.values())) == len(settings) and all(names.values())
    return names if differ else {setting.name: setting.name for setting in settings}


def metrics_of(settings: Sequence[Setting]) -> Iterator[str]:
    """Every final metric that some finished run has, in order."""
    runs = (run for setting in settings for run in setting.finished.values())
    yield from dict.fromkeys(name for run in runs for name in run.final)


def grid(settings: Sequence[Setting]) -> tuple[tuple[str, list[str]], tuple[str, list[str]]] | None:
    """The two keys of a sweep over just two, with their values in order; None of any other sweep."""
    keys = list(dict.fromkeys(key for setting in settings for key in setting.choices))
    if len(keys) != 2 or any(len(setting.choices) != 2 for setting in settings):
        return None
    values = [sorted({setting.choices[key] for setting in settings}, key=_in_order) for key in keys]
    if min(map(len, values)) < 2:
        return None
    return (keys[0], values[0]), (keys[1], values[1])


def number_of(text: str) -> float | None:
    """The number that the value of a key is; None of a word.

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


def _keys(runs: Sequence[Record]) -> list[Key]:
    """The key of each run under which it meets the others of its setting.

    A run without a config takes the key of one that has it, and the same overrides.
    """
    keys = [_of_config(run) if run.config else _of_overrides(run) for run in runs]
    known = {_of_overrides(run): key for run, key in zip(runs, keys, strict=True) if run.config}
    return [
        key if run.config or not run.overrides else known.get(key, key)
        for run, key in zip(runs, keys, strict=True)
    ]


def _of_config(run: Record) -> Key:
    texts = flat(run.config).items()
    return frozenset((key, text) for key, text in texts if not (is_seed(key) or changes_no_result(key)))


def _of_overrides(run: Record) -> Key:
    if not run.overrides:
        return frozenset({("folder", str(run.path))})
    return frozenset((key_of(text), text) for text in that_change_results(run.overrides))


def _told_apart(settings: Sequence[Setting]) -> list[Setting]:
    """The settings, those of one name renamed so that no two are called alike."""
    named: dict[str, list[Setting]] = {}
    for setting in settings:
        named.setdefault(setting.name, []).append(setting)
    return [
        setting if len(named[setting.name]) == 1 else _renamed(setting, named[setting.name])
        for setting in settings
    ]


def _renamed(setting: Setting, alike: Sequence[Setting]) -> Setting:
    """A setting with the keys in its name by which its config differs from those of its namesakes.

    Where these are too many, or there are no configs, it gets a number.
    """
    place = next(place for place, other in enumerate(alike) if other is setting)
    configs = [dict(_of_config(other.runs[0])) for other in alike]
    keys = [key for key in dict.fromkeys(chain(*configs)) if len({config.get(key) for config in configs}) > 1]
    if not 0 < len(keys) <= MOST_KEYS:
        return replace(setting, name=f"{setting.name} #{place + 1}") if place else setting
    choices = {**setting.choices, **{key: configs[place].get(key, ABSENT) for key in sorted(keys)}}
    name = " ".join(f"{key}={value}" for key, value in choices.items())
    return replace(setting, name=name, choices=choices)
