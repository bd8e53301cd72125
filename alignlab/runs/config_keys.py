"""Dotted keys of a config: which of them change no result, and where two configs differ."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

CHANGES_NO_RESULT = (
    "run_name",
    "output_dir",
    "optimized_metric",
    "optimized_direction",
    "report",
    "logger",
    "metrics",
    "callbacks.checkpoint",
    "callbacks.progress",
    "callbacks.step_log",
    "launcher",
    "resume",
)
"""Keys that change neither the weights nor what is measured: where things go, what is told, and who starts the run.

With `ANYWHERE` this is the one list of them. A run may be resumed with other values there, and runs that differ there
alone (or in their seeds) have the same setting. Devices, nodes and precision are not among them, since they change the
last bits of a result; neither is any callback but ours, since a callback may stop a run or change what it trains.
"""
ANYWHERE = frozenset({"cache_dir", "title", "paper", "licence", "ranges", "notes"})
"""Keys that change no result wherever they stand: folders of caches, and what a choice says of itself."""
ABSENT = "(absent)"
"""Stands for the value of a key that one of two configs does not have."""


def changes_no_result(key: str) -> bool:
    """Whether a key changes no result of a run.

    >>> [changes_no_result(key) for key in ("report", "model.loader.cache_dir", "logger@x", "optimizer.lr")]
    [True, True, True, False]
    """
    return within(key, CHANGES_NO_RESULT) or not ANYWHERE.isdisjoint(key.split("."))


def is_seed(key: str) -> bool:
    """Whether a key is a seed: that of the run, or one of its own below some other key.

    >>> [is_seed(key) for key in ("seed", "data.source.seed", "seeds")]
    [True, True, False]
    """
    return key.rpartition(".")[2] == "seed"


def within(key: str, paths: Sequence[str]) -> bool:
    """Whether a key is one of these, or below one of them."""
    return any(key == path or key.startswith((f"{path}.", f"{path}@", f"{path}/")) for path in paths)


def flat(config: Mapping[str, Any], path: str = "") -> dict[str, str]:
    """Every value of a config as text, by its dotted key; of the pipeline also the order of its steps.

    >>> flat({"objective": {"beta": 0.1}, "pipeline": {"pairs": {}, "limit": {"rows": 3}}})
    {'objective.beta': '0.1', 'pipeline': 'pairs limit', 'pipeline.limit.rows': '3'}
    """
    texts: dict[str, str] = {}
    if path == "pipeline":
        texts[path] = " ".join(config)
    for key, value in config.items():
        below = f"{path}.{key}" if path else str(key)
        texts |= flat(value, below) if isinstance(value, Mapping) else {below: str(value)}
    return texts


def differences(before: Any, now: Any, path: str = "") -> Iterator[tuple[str, tuple[Any, Any]]]:
    """Dotted keys with both values, where two configs differ; of the pipeline also its steps, if their order does.

    >>> dict(differences({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}, "d": None}))
    {'a.c': (2, 3), 'd': ('(absent)', None)}
    >>> dict(differences({"pipeline": {"pairs": {}, "limit": {}}}, {"pipeline": {"limit": {}, "pairs": {}}}))
    {'pipeline': ('pairs limit', 'limit pairs')}
    """
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        if path == "pipeline" and [*before] != [*now] and before.keys() == now.keys():
            yield path, (" ".join(before), " ".join(now))
        for key in dict.fromkeys([*before, *now]):
            below = f"{path}.{key}" if path else str(key)
            yield from differences(before.get(key, ABSENT), now.get(key, ABSENT), below)
    elif before != now:
        yield path, (before, now)
