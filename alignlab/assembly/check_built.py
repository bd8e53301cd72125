"""The second part of the check: errors that show by an import or by building the objective. Loads no data, no model."""

import inspect
import logging
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger
from torch import nn

from alignlab.assembly.build import is_adapters_off, objective_of, optimizer_settings
from alignlab.assembly.check import failure_of
from alignlab.assembly.judges import all_judge_problems
from alignlab.assembly.nodes import by_import, misused_targets
from alignlab.assembly.online import online_objective_problems
from alignlab.assembly.provided import name_of, policy_problems
from alignlab.data.reading.examples import takes_rows
from alignlab.data.steps import Tokenized, folders_of, form_of, kind_of, text_and_token_steps
from alignlab.errors import ConfigError, nearest
from alignlab.objective.load import build_objective, build_term
from alignlab.objective.objective import Objective
from alignlab.own_code import is_ours
from alignlab.passes.reference_mode import resolve_mode
from alignlab.settings import Config, typed
from alignlab.targets import locate
from alignlab.training.optim import schedule
from alignlab.training.rows import lists_wanted, more_wanted
from alignlab.training.spec import on_gpu
from alignlab.training.strategies.deepspeed import misuses
from alignlab.types import Example

log = logging.getLogger(__name__)

BLANK = 8
"""The number of blank rows on which a step on tokens is tried."""


def problems_built(config: Config) -> Iterator[str]:
    """Yield a message for each error in a config whose settings are in order (`check_settings`)."""
    if foreign := list(misused_targets(config, by_import)):
        yield from foreign
        return
    yield from _objective(config)
    yield from _pipeline(config)
    yield from _source(config)
    yield from _machine(config)
    yield from _schedule(config)
    yield from _optimizer(config)
    yield from _evaluation(config)
    if config.get("judge"):
        yield from all_judge_problems(config["judge"])
    yield from _trackers(config)


def _objective(config: Config) -> Iterator[str]:
    node = config["objective"]
    problems = []
    if failure := failure_of(build_term, node.get("name"), node.get("loss"), "objective.loss"):
        problems = [_placed(failure, "objective.loss")]
    elif failure := failure_of(build_objective, node, {}):
        problems = [_placed(failure, "objective")]
    for group in ("regularizers", "modifiers", "metrics"):
        for name, term in config.get(group, {}).items():
            failure = failure_of(build_term, name, term, f"{group}.{name}")
            if failure is None and not problems:
                failure = failure_of(build_objective, node, **{"regularizers": {}, group: {name: term}})
            if failure:
                problems.append(_placed(failure, f"{group}.{name}"))
    yield from problems
    if problems:
        return
    objective = objective_of(config)
    node, peft = config["reference"], config["peft"].get("method")
    drawn = bool(config.get("online"))
    by_reference = (config.get("online") or {}).get("by") == "reference"
    asked = {
        "adapter": is_adapters_off(config),
        "update": node["update"],
        "drawn": drawn,
        "draws": by_reference,
    }
    if failure := failure_of(resolve_mode, node["mode"], objective, **asked):
        yield failure
    if peft != "none" and node["update"] != "none":
        yield (
            f"reference.update={node['update']} moves all weights towards the policy's, and peft={peft} trains others: "
            "use peft=none"
        )
    yield from policy_problems(config, objective)
    yield from online_objective_problems(config, objective)
    if config["trainer"].get("meta_rate") and config["strategy"]["name"] not in (
        "auto",
        "single",
        "ddp",
        "fsdp2",
    ):
        yield f"trainer.meta_rate: strategy={config['strategy']['name']} keeps gradients to itself; use ddp or fsdp2"
    if config["strategy"]["name"].startswith("deepspeed"):
        yield from misuses(config, objective)
    if (config.get("online") or {"lists": "data"}).get("lists", "drawn") != "drawn":
        yield from _lists(config, objective)


def _placed(failure: str, path: str) -> str:
    return failure if path in failure else f"{path}: {failure}"


def _lists(config: Config, objective: Objective) -> Iterator[str]:
    """Yield a message where the rows, as the last pipeline step or the source makes them, do not fit the objective."""
    name, form = config["data"]["name"], config["data"].get("form")
    for step in config["pipeline"].values():
        function = locate(step["_target_"])
        made = form_of(function)
        if made or not is_ours(function):  # a step of one's own may make anything of a row
            form = made
    if form == "pairs" and objective.data_form == "lists":
        yield lists_wanted(objective.name, name)
    if form == "single" and objective.data_form != "single":
        yield more_wanted(objective.name, name)


def _pipeline(config: Config) -> Iterator[str]:
    """Yield a message for steps on text behind steps on tokens, and for options that a step refuses."""
    steps = {name: locate(step["_target_"]) for name, step in config["pipeline"].items()}
    if failure := failure_of(text_and_token_steps, steps):
        yield failure
        return
    for name, step in config["pipeline"].items():
        if (
            is_ours(steps[name])
            and not folders_of(steps[name])
            and (failure := failure_of(_probe, step, f"pipeline.{name}", config["policy"]))
        ):
            yield failure


def _require_logps(step: str, policy: Config) -> None:
    """Raise ConfigError where the policy of a config has no log-probabilities, which a pipeline step goes by."""
    failure = failure_of(locate, policy.get("_target_", ""), "policy._target_")
    if failure is None and "logps" not in getattr(locate(policy["_target_"]), "provides", ()):
        raise ConfigError(
            f"{step} goes by log-probabilities under the model that the run begins with, and policy={name_of(policy)} "
            "has none: have it go by something else (recipe.by=equal of recipe=stepwise, pipeline.order_by.by=gap), "
            "leave it out, or use policy=causal_lm"
        )


def _probe(step: Config, path: str, policy: Config) -> None:
    """Run a step that lies in alignlab once on blank rows, so that an option which it refuses fails here.

    Only a ConfigError counts: blank rows lack what real rows have. Steps of other packages are not run. The options
    of all are checked by their signatures, as those of every target (`misused_targets`). Steps that ask for
    log-probabilities want a `policy` that has them.
    """

    def score() -> list[Any]:
        _require_logps(path, policy)
        return [np.zeros(2)] * BLANK

    def multiply() -> list[Any]:
        _require_logps(path, policy)
        return [np.zeros((2, 2))] * BLANK

    function = partial(
        locate(step["_target_"]), **{key: value for key, value in step.items() if key != "_target_"}
    )
    blank = Example(
        prompt=[{"role": "user", "content": "?"}], responses=["a", "b"], labels=[1.0, 0.0], id="0"
    )
    blanks = [replace(blank, id=str(number)) for number in range(BLANK)]
    lengths = np.ones(BLANK, dtype=np.int64)
    inputs: dict[str, Any] = {
        "example": blank,
        "examples": [blank],
        "tokenized": Tokenized(
            blanks,
            lengths,
            [np.ones(2, dtype=np.int64)] * BLANK,
            score,
            multiply,
        ),
    }
    kind = kind_of(function, path)
    try:
        output = function(inputs[kind])
        list(output if kind != "tokenized" else output.keep)
    except ConfigError:
        raise
    except Exception as error:
        log.debug("%s on a blank row: %r", path, error)


def _source(config: Config) -> Iterator[str]:
    """Yield a message where a source that reads files has no path, or one that makes its own rows has one."""
    node = config["data"]
    if node.get("parts"):
        return
    of_files = ("path", "split", "columns", "ignored")
    files = [f"data.{key}" for key in of_files if node.get(key) not in (None, [], {})]
    source = locate(node["source"]["_target_"])
    if not takes_rows(source):
        settings = {key: value for key, value in node["source"].items() if key != "_target_"}
        if is_ours(source) and (failure := failure_of(source, split="train", size=1, **settings)):
            yield failure
        if files:
            out = " and ".join(files)
            yield f"data '{node['name']}' makes its own rows, and reads no files: take out {out}, or use data=local"
    elif node["path"] is None and not node.get("hub"):
        yield f"data '{node['name']}' is read from files: set data.path=/my/file-or-folder"


def _machine(config: Config) -> Iterator[str]:
    """Yield a message for what this machine does not have, or cannot start."""
    trainer = config["trainer"]
    devices = trainer["devices"]
    if config["peft"]["method"] == "qlora" and not on_gpu(trainer["accelerator"]):
        yield "peft=qlora computes with 4-bit weights on an NVIDIA GPU, and none is used here: use peft=lora"
    if trainer["accelerator"] == "gpu" and not torch.cuda.is_available():
        yield "trainer.accelerator=gpu: this machine has no GPU that torch can use; set trainer.accelerator=auto"
    elif on_gpu(trainer["accelerator"]) and devices > max(1, torch.cuda.device_count()):
        yield f"trainer.devices={devices}: this machine has {torch.cuda.device_count()} GPUs"


def _trackers(config: Config) -> Iterator[str]:
    """Yield a message for callbacks and loggers that are not of Lightning's classes."""
    for group, kind in (("callbacks", Callback), ("logger", Logger)):
        for name, node in config[group].items():
            target = locate(node["_target_"]) if node and "_target_" in node else None
            if inspect.isclass(target) and not issubclass(target, kind):
                yield f"{group}.{name}._target_={node['_target_']} is no {kind.__name__} of Lightning"


def _evaluation(config: Config) -> Iterator[str]:
    """Yield a message where the reward of samples is no function that can be imported."""
    if (reward := config["evaluation"]["reward"]) is None:
        return
    if not isinstance(reward, str):
        yield f"evaluation.reward={typed(reward)}: expected the dotted path of a function"
    elif failure := failure_of(locate, reward, "evaluation.reward"):
        yield failure


def _optimizer(config: Config) -> Iterator[str]:
    """Yield a message where an optimizer of torch refuses its settings, by what it says to one weight matrix."""
    node = config["optimizer"]
    if not str(node["_target_"]).startswith("torch.optim."):
        return
    settings = optimizer_settings(node)
    lr = 1.0 if node["lr"] == "auto" else float(node["lr"])
    try:
        locate(node["_target_"])([nn.Parameter(torch.zeros(2, 2))], lr=lr, **settings)
    except Exception as error:
        yield f"optimizer: {node['_target_'].rpartition('.')[2]} refuses its settings: {error}"


def _schedule(config: Config) -> Iterator[str]:
    """Yield a message for a schedule that transformers does not know, or that needs a metric."""
    node = config["scheduler"]
    target = locate(node["_target_"], "scheduler._target_")
    if target is schedule:
        from transformers import SchedulerType

        names = [kind.value for kind in SchedulerType]
        if node["name"] not in names:
            yield f"scheduler.name={node['name']}: {nearest(str(node['name']), names)}"
    elif inspect.isclass(target) and issubclass(target, torch.optim.lr_scheduler.ReduceLROnPlateau):
        yield f"scheduler._target_={node['_target_']} goes by a metric, and schedules here go by steps alone"
