"""Fingerprints of what a result depends on: options, and the code that computes it."""

import hashlib
import inspect
import json
import sys
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from pathlib import Path
from types import ModuleType
from typing import Any


def digest(*parts: Any) -> str:
    """A hash, 32 hex digits, of values that json can write."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def identity(function: Callable[..., Any]) -> list[Any]:
    """The name, code hash and bound options of a function: functions of equal identity give equal results.

    The option `cache_dir` is left out, since a place on disk changes no result.
    """
    options: dict[str, Any] = {}
    while isinstance(function, partial):
        options = {**function.keywords, **options}
        function = function.func
    settings = {
        name: getattr(value, "fingerprint", value) for name, value in options.items() if name != "cache_dir"
    }
    return [function.__module__, function.__qualname__, code_hash(function.__module__), settings]


@lru_cache
def code_hash(module: str) -> str:
    """A hash of the source of a module and of all that it imports from its own package, directly or not."""
    files = sorted(str(file) for file in _files(module))
    return hashlib.sha256(b"".join(Path(file).read_bytes() for file in files)).hexdigest()


def _files(module: str) -> Iterator[str]:
    package, visited, waiting = module.partition(".")[0], set(), [module]
    while waiting:
        name = waiting.pop()
        if name in visited or name not in sys.modules:
            continue
        visited.add(name)
        loaded = sys.modules[name]
        if vars(loaded).get("__file__") and (file := inspect.getsourcefile(loaded)):
            yield file
        used = {_home(value) for value in vars(loaded).values()}
        waiting += sorted(home for home in used if home.partition(".")[0] == package)


def _home(value: Any) -> str:
    """The name of the module that a value was defined in; empty where it has none."""
    return value.__name__ if isinstance(value, ModuleType) else str(getattr(value, "__module__", "") or "")
