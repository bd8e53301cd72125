"""The check of nodes with a `_target_`: whether their settings fit the signature of what they name."""

import sys
from collections.abc import Callable, Iterator, Mapping
from inspect import Parameter
from typing import Any, get_args

from alignlab.assembly.schema import at
from alignlab.errors import AlignlabError, nearest
from alignlab.objective.schedule import read_weight
from alignlab.objective.settings import ABOUT, TermKind
from alignlab.places import choices
from alignlab.policies.causal_lm import pretrained
from alignlab.settings import Config, typed
from alignlab.signatures import (
    POSITIONAL,
    Read,
    imported_signature,
    is_own,
    misfit_of,
    read_signature,
    signal_names,
)

TERMS = ("regularizers", "modifiers", "metrics")
STEP_NAMES = ("steps", "num_training_steps", "total_steps", "T_max")
"""The parameters by which a schedule is given the number of steps of the run."""
WARMUP_NAME = "num_warmup_steps"
"""The parameter by which a schedule is given the steps that `scheduler.warmup_ratio` comes to."""
BY_PLACE = {
    "generator": 2,
    **dict.fromkeys(("callbacks", "logger", "model", "strategy", "judge"), 0),
    "online": 2,
    **dict.fromkeys(("data", "policy", "pipeline", "recipe", "optimizer", "scheduler"), 1),
}
"""How many arguments targets get by place, by group; those of terms are as many signals as they ask for."""
OPEN = ("callbacks", "logger", "metrics")
"""The groups that take nodes of one's own."""
OFFERED = {
    "policy": {"model"},
    "generator": {"model", "stop", "version"},
    "pipeline": {"example", "examples", "tokenized", "split"},
    "data": {"row", "split", "size", "weights"},
    "recipe": {"pipeline"},
    "online": {"labels", "key"},  # of online.pairs
    "optimizer": {"params"},
    "scheduler": {"optimizer", WARMUP_NAME, *STEP_NAMES},
    "logger": {"tracked_run"},
}
"""The parameters of targets that the program fills in, by group."""
PLAIN_CALLBACKS = ("checkpoint", "progress", "step_log")
"""The callbacks of our own that are built with parts of the stage; a dataclass has their settings."""
OWN_KEYS = {"optimizer": {"lr"}, "recipe": {"overrides"}}
"""The keys of nodes that the program reads itself, by group."""

KEPT = ("dtype", "attn_implementation", "trust_remote_code")
"""The settings of a model's loader that hold for every model of the run."""

Reader = Callable[[str, str], Read | None]
"""A function that returns the signature of a target, or None where it cannot. Its second argument is the config key
that its errors name.
"""


def from_source(target: str, path: str) -> Read | None:
    """Return the signature of a target of our own, read without importing it; None for other targets."""
    return read_signature(target, path) if is_own(target) else None


def by_import(target: str, path: str) -> Read | None:
    """Return the signature of a target that `from_source` does not read, by importing it; None for the others."""
    return imported_signature(target, path) if from_source(target, path) is None else None


def misused_targets(config: Config, read: Reader = from_source) -> Iterator[str]:
    """Yield a message for every target that is missing, misspelt, or given what it does not take."""
    for path, node in call_nodes(config).items():
        if not isinstance(node, Mapping) or "_target_" not in node:
            if read is from_source:
                yield _unchosen(path)
            continue
        try:
            signature = read(str(node["_target_"]), f"{path}._target_")
        except AlignlabError as error:
            yield str(error)
        else:
            yield from misused(path, node, signature) if signature else ()
    for path, node in term_nodes(config).items():
        yield from _term(path, node, read)


def call_nodes(config: Config) -> dict[str, Any]:
    """Return every node whose target is called with the node's other keys, by path."""
    data = "mix" if config["data"].get("parts") else "source"
    nodes = {f"data.{data}": config["data"].get(data), "model.loader": config["model"].get("loader")}
    nodes |= {group: config[group] for group in ("policy", "optimizer", "scheduler", "recipe")}
    if config["strategy"].get("engine") is not None:
        nodes["strategy.engine"] = config["strategy"]["engine"]
    nodes |= {group: config[group] for group in ("generator", "judge") if config.get(group)}
    online = config.get("online") or {}
    nodes |= {f"online.{key}": online[key] for key in ("pairs", "draw") if online.get(key) is not None}
    own = {
        f"callbacks.{name}": node for name, node in config["callbacks"].items() if name not in PLAIN_CALLBACKS
    }
    listed = {
        f"{group}.{name}": node for group in ("pipeline", "logger") for name, node in config[group].items()
    }
    return {**nodes, **listed, **own}


def part_nodes(config: Config) -> dict[str, Any]:
    """Return the data node of every part of a mixture by name, without its weight, which is no setting of a source."""
    parts = config["data"].get("parts") or {}
    return {name: {k: v for k, v in node.items() if k != "weight"} for name, node in parts.items()}


def term_nodes(config: Config) -> dict[str, Any]:
    """Return every node whose target is a function of signals, by path."""
    nodes = {f"{group}.{name}": node for group in TERMS for name, node in config.get(group, {}).items()}
    own = at(config, "objective.modifiers")
    nodes |= (
        {f"objective.modifiers.{name}": node for name, node in own.items()}
        if isinstance(own, Mapping)
        else {}
    )
    return {"objective.loss": at(config, "objective.loss"), **nodes}


def named_in(config: Config, file: str) -> str | None:
    """Return the path of the first node whose target's module was loaded from a file; None where none was."""
    for path, node in {**call_nodes(config), **term_nodes(config)}.items():
        module = sys.modules.get(str((node or {}).get("_target_", "")).rpartition(".")[0])
        if getattr(module, "__file__", None) == file:
            return path
    return None


def loader_of(model: Config, path: str) -> Config:
    """Return a loader of another folder or hub id, with the settings that hold for every model of the run."""
    shared = {key: model["loader"][key] for key in KEPT if key in model["loader"]}
    return {"_target_": f"{pretrained.__name__}.load", "path": path, **shared}


def _unchosen(path: str) -> str:
    group, _, name = path.partition(".")
    known = PLAIN_CALLBACKS if group == "callbacks" else choices(group)
    if group in OPEN and name not in known:
        return f"{path}: no such setting: {nearest(name, known)}; one of your own has a _target_"
    choose = f"add it ('{group}=[{name}]') or drop the setting"
    way = choose if name in known else "give its _target_"
    return f"{path} is set, but nothing is chosen there: {way}"


def misused(path: str, node: Config, signature: Read) -> Iterator[str]:
    """Yield a message for keys that the target does not take, and for numbers and choices that are none."""
    group = path.partition(".")[0]
    settings = signature.parameters.keys() - OFFERED.get(group, set())
    if group == "scheduler":  # steps may be set by hand, too
        settings = signature.parameters.keys() - {"optimizer"}
    for key, value in node.items():
        if key == "_target_" or key in OWN_KEYS.get(group, ()):
            continue
        if key in settings:
            if message := misfit_of(value, signature.parameters[key]):
                yield f"{path}.{key}={typed(value)}: {message}"
        elif not signature.open_ended and not (key == "warmup_ratio" and WARMUP_NAME in settings):
            yield f"{path}.{key}: {node['_target_']} takes no '{key}': {nearest(str(key), settings)}"
    yield from _missing(path, node, signature)


def _missing(path: str, node: Config, signature: Read) -> Iterator[str]:
    """Yield a message for settings without a default that the node does not give."""
    group = path.partition(".")[0]
    required = [n for n, p in signature.parameters.items() if p.default is Parameter.empty]
    places = [name for name in required if signature.parameters[name].kind in POSITIONAL]
    by_keyword = [name for name in required if signature.parameters[name].kind is Parameter.KEYWORD_ONLY]
    for name in [*places[BY_PLACE.get(group, len(places)) :], *by_keyword]:
        if name not in node and name not in OFFERED.get(group, ()):
            yield f"{path} needs a value for {name}: set {path}.{name}=..."


def _term(path: str, node: Any, read: Reader) -> Iterator[str]:
    """Yield a message for errors in a loss, regularizer or modifier, as far as its signature shows them."""
    if not isinstance(node, Mapping) or "_target_" not in node:
        if read is from_source:
            yield _unchosen(path)
        return
    try:
        signature = read(str(node["_target_"]), f"{path}._target_")
    except AlignlabError as error:
        yield str(error)
        return
    if signature is None:
        return
    readers = [signature.methods[name] for name in ("forward", "contribute") if name in signature.methods]
    for name in [name for method in readers or [signature] for name in method.positional]:
        if name not in (*signal_names(), "gathered", "loss"):
            yield f"{path} asks for signal '{name}': {nearest(name, signal_names())}"
    yield from _hyper(path, node, signature)


def _hyper(path: str, node: Config, signature: Read) -> Iterator[str]:
    """Yield a message for unknown, missing or wrongly typed hyper-parameters, and for a wrong weight or kind."""
    known = {name: p for name, p in signature.parameters.items() if p.kind is Parameter.KEYWORD_ONLY}
    for key, value in node.items():
        if key == "weight":
            try:
                read_weight(value, f"{path}.weight")
            except AlignlabError as error:
                yield str(error)
        elif key == "kind" and value not in get_args(TermKind):
            yield f"{path}.kind={value}: {nearest(str(value), get_args(TermKind))}"
        elif key in known:
            if message := misfit_of(value, known[key]):
                yield f"{path}.{key}={typed(value)}: {message}"
        elif key not in ("_target_", "kind", *ABOUT):
            yield f"{path} has no hyper-parameter '{key}': {nearest(str(key), known)}"
    yield from _missing(path, node, signature)
