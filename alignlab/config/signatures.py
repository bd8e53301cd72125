"""Do the settings of each `_target_` fit the signature of what it names?"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from alignlab.config.schema import Config
from alignlab.data.rows import Drop
from alignlab.errors import AlignlabError, nearest
from alignlab.objectives.term import check_type
from alignlab.targets import locate
from alignlab.types import Example

GIVEN = {"make_stage", "folder", "params", "row", "example", "split", "size"}
"""Parameters of targets that the program fills in."""


def misused_targets(config: Config) -> Iterator[str]:
    """A message for every target that is missing, misspelt, or given what it does not take."""
    nodes = {"data.source": config["data"].get("source"), "model.loader": config["model"].get("loader")}
    nodes |= {"optimizer": config["optimizer"], "recipe": config["recipe"]}
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
        elif path.startswith("pipeline.") and (failure := failure_of(_probe, node)):
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


def _probe(step: Config) -> None:
    """Run a pipeline step once, so that a misspelt option fails here and not with the first row."""
    keywords = {key: value for key, value in step.items() if key != "_target_"}
    blank = Example(
        prompt=[{"role": "user", "content": "?"}], responses=["a", "b"], labels=[1.0, 0.0], id="0"
    )
    with suppress(Drop):
        list(locate(step["_target_"])(blank, **keywords))


def failure_of(function: Callable[..., Any], *arguments: Any, **keywords: Any) -> str | None:
    """The message of the error that a call raises, if it does."""
    try:
        function(*arguments, **keywords)
    except AlignlabError as error:
        return str(error)
    return None
