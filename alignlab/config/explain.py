"""Hydra's error messages in our words: shorter, and with the nearest valid name."""

import re
import shlex
import sys
from typing import Any

from hydra.errors import HydraException, OverrideParseException
from omegaconf import OmegaConf
from omegaconf.errors import (
    InterpolationKeyError,
    InterpolationResolutionError,
    MissingMandatoryValue,
    OmegaConfBaseException,
)

from alignlab.config.typed import MULTI_SELECT, TOGETHER, as_typed, of_ones_own, options, unread
from alignlab.errors import AlignlabError, nearest
from alignlab.objective.settings import ABOUT
from alignlab.places import CONF

OF_OTHER_TRAINERS = {
    "learning_rate": "optimizer.lr",
    "beta": "objective.loss.beta",
    "loss_type": "objective",
    "num_train_epochs": "trainer.max_epochs",
    "max_steps": "trainer.max_steps",
    "per_device_train_batch_size": "data.lists_per_step",
    "max_length": "data.max_length",
    "max_prompt_length": "data.max_prompt_length",
    "lora_r": "peft.r",
    "lora_alpha": "peft.alpha",
}
"""What people type who come from other trainers, and the key or group that means it here."""


def explain(error: Exception) -> str:
    """Return one message for an error that arose while the config was composed."""
    if ours := _cause(error):
        return str(ours)
    if isinstance(error, OverrideParseException):
        return unread(error.override)
    text = str(error).strip()
    if match := re.search(r"Missing mandatory value: (\S+)", text):
        key = error.full_key if isinstance(error, MissingMandatoryValue) else None
        return _missing(key or match.group(1))
    if isinstance(error, InterpolationResolutionError | InterpolationKeyError) and error.full_key:
        way = r"a variable of the shell is ${oc.env:NAME}, and \${ a text"
        return f"{error.full_key}: {text.splitlines()[0]} ({way})"
    if match := re.search(r"Could not override '([^']+)'", text):
        return _unknown_key(match.group(1))
    if match := re.search(r"Ambiguous value for argument '(.+)'\n", text):
        return _several(match.group(1))
    if match := re.search(r"Could not (?:find|load) '([^']+)'", text):
        group, _, name = match.group(1).rpartition("/")
        if not group.startswith("hydra/"):
            group, _, name = match.group(1).partition("/")
        if group == "hydra/launcher":
            return f"launcher={name} needs a package: pip install -e '.[{name}]'"
        if group == "resume":
            return f"resume={name}: expected auto; a folder is resume.path=..."
        none = f"for none, {group}=[]" if group in MULTI_SELECT and name in ("none", "null") else ""
        ways = [none, _hint(name, options(group)), of_ones_own(group, name)]
        return f"there is no {group}={name}: {'; '.join(way for way in ways if way)}"
    return text.split("\n\nConfig search path")[0].split("\nSee https://hydra.cc")[0]


def _cause(error: BaseException | None) -> AlignlabError | None:
    """Return the error of ours that a library wrapped in its own; None where there is none."""
    while error is not None and not isinstance(error, AlignlabError):
        error = error.__cause__ or error.__context__
    return error


def _missing(key: str) -> str:
    group, _, name = key.partition(".")
    if name == "name":
        return f"what was chosen as {group} holds settings that others share; choose one of {', '.join(options(group))}"
    return f"this choice leaves a value open: set {key}=..."


def _several(override: str) -> str:
    """The message for a value with commas outside of a sweep."""
    key, _, values = override.partition("=")
    listed, text = shlex.quote(f"{key}=[{values}]"), as_typed(key, values)
    if (CONF / key).is_dir() and key not in TOGETHER:
        return f"{override}: several choices are a sweep, with -m"
    return (
        f"{override}: several values are a sweep, with -m; a list is {listed}, and a text with commas {text}"
    )


def _unknown_key(key: str) -> str:
    group, _, rest = key.partition(".")
    name = rest.partition(".")[0]
    if group in MULTI_SELECT and name in options(group) and name not in _chosen(group):
        return f"there is no config key '{key}' yet: choose it first: {group}=[{name}]"
    if key in OF_OTHER_TRAINERS:
        return f"there is no config key '{key}': it is {OF_OTHER_TRAINERS[key]} here"
    known = known_keys()
    if group == "online" and not any(k.startswith("online.") for k in known):
        way = f"a stage that draws takes it by recipe.overrides={{policy:['{key}=...']}}"
        return f"there is no config key '{key}': it belongs to recipe=online; {way}"
    if (holders := _with_key(group, rest)) and not _of_same_end(key, known):
        return f"there is no config key '{key}': it belongs to {', '.join(f'{group}={name}' for name in holders)}"
    return f"there is no config key '{key}': {nearest(key, _candidates(key, known))}"


def _with_key(group: str, rest: str) -> list[str]:
    """Return the choices of a config group whose files have a setting themselves."""
    if not rest or group in MULTI_SELECT:
        return []
    files = {choice: OmegaConf.load(CONF / group / f"{choice}.yaml") for choice in options(group)}
    return [choice for choice, node in files.items() if rest in _keys(node, "")]


def _hint(name: str, valid: list[str]) -> str:
    hint, whole = nearest(name, valid), ", ".join(valid)
    return hint if whole in hint else f"{hint} (of: {whole})"


def _candidates(key: str, known: list[str]) -> list[str]:
    """Return the keys of the wrong key's group that end as it does, else those near it, else all, else the topmost."""
    if elsewhere := _of_same_end(key, known):
        return elsewhere
    above = key.rpartition(".")[0]
    if beside := [k for k in known if above and k.rpartition(".")[0] == above]:
        return beside
    return known if "did you mean" in nearest(key, known) else [k for k in known if "." not in k]


def _of_same_end(key: str, known: list[str]) -> list[str]:
    group, name = key.partition(".")[0], key.rpartition(".")[2]
    return [k for k in known if k.startswith(f"{group}.") and k.endswith(f".{name}")]


def _chosen(group: str) -> set[str]:
    """Return the choices that this command line makes in a multi-select group."""
    for argument in sys.argv[1:]:
        if argument.startswith(f"{group}="):
            return set(re.findall(r"\w+", argument.partition("=")[2]))
    return set()


def known_keys() -> list[str]:
    """Return every dotted key of the groups that this command line chooses, as far as they compose."""
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    holder = GlobalHydra.instance()
    running, holder.hydra = holder.hydra, None
    try:
        with initialize_config_dir(str(CONF), version_base=None):
            for chosen in ([a for a in sys.argv[1:] if re.fullmatch(r"\w+=.*", a)], []):
                try:
                    return _keys(compose("train", overrides=chosen), "")
                except (HydraException, OmegaConfBaseException):
                    continue
        return []
    finally:
        GlobalHydra.instance().hydra = running


def _keys(node: Any, path: str) -> list[str]:
    from omegaconf import DictConfig

    if not isinstance(node, DictConfig):
        return [path]
    names = [str(name) for name in node if name not in ABOUT]
    below = [key for name in names for key in _keys(node._get_node(name), f"{path}.{name}" if path else name)]
    return [path, *below] if path else below
