"""Do the settings of each `_target_` fit the signature of what it names?"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np

from alignlab.config.schema import Config
from alignlab.data.reading.rows import Drop
from alignlab.data.steps import KINDS, Tokenized, kind_of
from alignlab.errors import AlignlabError, DataError, nearest
from alignlab.objective.term import check_type
from alignlab.targets import locate
from alignlab.types import Example

GIVEN = {"pipeline", "params", "row", "split", "size", "weights", *KINDS}
"""Parameters of targets that the program fills in."""


def misused_targets(config: Config) -> Iterator[str]:
    """A message for every target that is missing, misspelt, or given what it does not take."""
    data = "mix" if config["data"].get("parts") else "source"
    nodes = {f"data.{data}": config["data"].get(data), "model.loader": config["model"].get("loader")}
    nodes |= {"policy": config["policy"], "optimizer": config["optimizer"]}
    nodes["recipe"] = {key: value for key, value in config["recipe"].items() if key != "overrides"}
    nodes |= {f"pipeline.{name}": step for name, step in config["pipeline"].items()}
    for path, node in nodes.items():
        if not isinstance(node, Mapping) or "_target_" not in node:
            group, _, name = path.partition(".")
            choose = f"add it ('{group}=[{name}]') or drop the setting"
            way = choose if group == "pipeline" else "give its _target_"
            yield f"{path} is set, but nothing is chosen there: {way}"
        elif failure := failure_of(locate, node["_target_"], f"{path}._target_"):
            yield failure
        elif problems := list(_arguments(path, node)):
            yield from problems
        elif path.startswith("pipeline.") and (failure := failure_of(_probe, node, path)):
            yield failure


def _arguments(path: str, node: Config) -> Iterator[str]:
    """Keys that the target does not take, and numbers that are none."""
    parameters = inspect.signature(locate(node["_target_"])).parameters
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    for key, value in node.items():
        if key == "_target_" or (path == "optimizer" and key == "lr"):
            continue
        if key in parameters:
            if failure := failure_of(check_type, f"{path}.{key}", value, parameters[key].default):
                yield failure
        elif not open_ended:
            yield f"{path}.{key}: {node['_target_']} takes no '{key}': {nearest(key, set(parameters) - GIVEN)}"


def _probe(step: Config, path: str) -> None:
    """Run a pipeline step once, so that a misspelt option fails here and not with the first row."""
    function = partial(
        locate(step["_target_"]), **{key: value for key, value in step.items() if key != "_target_"}
    )
    blank = Example(
        prompt=[{"role": "user", "content": "?"}], responses=["a", "b"], labels=[1.0, 0.0], id="0"
    )
    ones, zeros = np.ones(1, dtype=np.int64), np.zeros(2)
    given: dict[str, Any] = {
        "example": blank,
        "examples": [blank],
        "tokenized": Tokenized(
            [blank], ones, [np.ones(2, dtype=np.int64)], lambda: [zeros], lambda: [np.zeros((2, 2))]
        ),
    }
    kind = kind_of(function, path)
    with suppress(Drop, DataError):  # the blank row lacks what real rows have
        made = function(given[kind])
        list(made if kind != "tokenized" else made.keep)


def failure_of(function: Callable[..., Any], *arguments: Any, **keywords: Any) -> str | None:
    """The message of the error that a call raises, if it does."""
    try:
        function(*arguments, **keywords)
    except AlignlabError as error:
        return str(error)
    return None
