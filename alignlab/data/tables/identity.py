"""What a result depends on, as text: options, and the code that computes it."""

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
    """A short hash of values that json can write."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def identity(function: Callable[..., Any]) -> list[Any]:
    """Name, code and bound options of a function: equal identities, equal results.

    `cache_dir`, where something is kept, decides none.
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
    """Hash of a module and of all that it imports from its own package, directly or not."""
    files = sorted(str(file) for file in _files(module))
    return hashlib.sha256(b"".join(Path(file).read_bytes() for file in files)).hexdigest()


def _files(module: str) -> Iterator[str]:
    package, seen, waiting = module.partition(".")[0], set(), [module]
    while waiting:
        name = waiting.pop()
        if name in seen or name not in sys.modules:
            continue
        seen.add(name)
        if (
            file := inspect.getsourcefile(found)
            if (found := sys.modules[name]).__dict__.get("__file__")
            else None
        ):
            yield file
        used = {_home(value) for value in vars(found).values()}
        waiting += sorted(home for home in used if home.partition(".")[0] == package)


def _home(value: Any) -> str:
    """The module that a value of a module's namespace comes from."""
    return value.__name__ if isinstance(value, ModuleType) else str(getattr(value, "__module__", "") or "")
