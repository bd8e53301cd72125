"""From a composed config to the parts of a run. Objects are made here, in Python, and nowhere else."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from alignlab.data.load import DataSpec
from alignlab.objectives.load import build_objective
from alignlab.policies import pretrained
from alignlab.policies.adapters import LoadModel, lora
from alignlab.targets import locate
from alignlab.training.loggers.csv_log import CsvLog
from alignlab.training.optim import auto_lr, schedule, trainable
from alignlab.training.run_folder import RunFolder
from alignlab.training.spec import GoldSpec, ReferenceSpec, Stage, TrainerSpec

log = logging.getLogger(__name__)

Config = Mapping[str, Any]
"""A composed and resolved config as plain dicts and lists."""


def call(node: Config, path: str) -> Any:
    """The function that a `_target_` node names, with the node's other keys bound as keywords."""
    keywords = {key: value for key, value in node.items() if key != "_target_"}
    return partial(locate(node["_target_"], path), **keywords)


def build_stage(config: Config, folder: RunFolder, names: Mapping[str, str]) -> Stage:
    """A stage from its config. `names` are what trackers call the run: name, group."""
    load_start = call(config["model"]["loader"], "model.loader")
    load_model = with_adapters(load_start, config["peft"])
    gold = config["evaluation"]
    return Stage(
        objective=build_objective(config["objective"], config["regularizers"], config["modifiers"]),
        data=build_data(config),
        load_model=load_model,
        packing=config["model"]["packing"],
        reference=build_reference(config, load_start),
        make_optimizer=partial(make_optimizer, config["optimizer"], config["scheduler"]),
        make_loggers=partial(make_loggers, config, folder, names),
        trainer=TrainerSpec(**config["trainer"]),
        cache_dir=Path(config["cache_dir"]),
        seed=config["seed"],
        checkpoint_every=config["callbacks"]["checkpoint"]["every_n_steps"],
        progress_every=config["callbacks"]["progress"]["every_n_steps"],
        step_log=_step_log(config["callbacks"], folder),
        gold=GoldSpec(**{**gold, "reward": locate(gold["reward"])}, seed=config["seed"])
        if gold["reward"]
        else None,
    )


def _step_log(callbacks: Config, folder: RunFolder) -> Path | None:
    """Where steps are logged; null is in the run folder."""
    if "step_log" not in callbacks:
        return None
    return Path(callbacks["step_log"]["path"] or folder.path / "step_log.jsonl")


def build_data(config: Config) -> DataSpec:
    """Source, pipeline and knobs."""
    node = config["data"]
    known = {field.name for field in fields(DataSpec)} - {"source", "steps"}
    return DataSpec(
        source=call(node["source"], "data.source"),
        steps={name: call(step, f"pipeline.{name}") for name, step in config["pipeline"].items()},
        **{key: value for key, value in node.items() if key in known},
    )


def with_adapters(load: LoadModel, peft: Config) -> LoadModel:
    """The loader of the model that trains."""
    settings = {key: value for key, value in peft.items() if key != "method"}
    return load if peft["method"] == "none" else partial(lora, load, **settings)


def build_reference(config: Config, load_model: Any) -> ReferenceSpec:
    """The model that training starts from, unless `reference.path` names another."""
    node, model = config["reference"], config["model"]
    start = model.get("path") or model["name"]
    keep = ("dtype", "attn_implementation", "trust_remote_code")
    options = {key: model["loader"][key] for key in keep if key in model["loader"]}

    def loads(path: str | None, default: Any) -> Any:
        return default if path is None else partial(pretrained.load, path=path, **options)

    load = loads(node["path"], load_model)
    return ReferenceSpec(
        mode=node["mode"],
        name=node["path"] or start,
        load=load,
        is_start=node["path"] in (None, start),
        check_start=node["check_start"],
        second=None if node["second"] is None else (node["second"], loads(node["second"], load)),
    )


def make_optimizer(optimizer: Config, scheduler: Config, policy: nn.Module, steps: int) -> tuple[Any, Any]:
    """(optimizer, schedule) over the trainable parameters; `lr: auto` goes by their number."""
    parameters = list(trainable(policy))
    count = sum(parameter.numel() for parameter in parameters)
    settings = {key: value for key, value in optimizer.items() if key not in ("_target_", "lr")}
    lr = auto_lr(count) if optimizer["lr"] == "auto" else float(optimizer["lr"])
    log.info(
        "optimizer: %s, lr %.3g, %s parameters", optimizer["_target_"].rpartition(".")[2], lr, f"{count:,}"
    )
    made = locate(optimizer["_target_"], "optimizer")(parameters, lr=lr, **settings)
    return made, schedule(made, name=scheduler["name"], warmup_ratio=scheduler["warmup_ratio"], steps=steps)


def make_loggers(config: Config, folder: RunFolder, names: Mapping[str, str]) -> Sequence[Any]:
    """csv always, and what else was chosen."""
    loggers: list[Any] = [CsvLog(folder.metrics)]
    if "wandb" in config["logger"]:
        from alignlab.training.loggers.wandb_log import make_wandb

        settings = dict(config["logger"]["wandb"])
        settings["group"] = settings["group"] or names["group"] or None
        settings["tags"] = [
            *settings["tags"],
            config["objective"]["name"],
            config["data"]["name"],
            *config["regularizers"],
        ]
        loggers.append(make_wandb(folder, config, name=names["name"], **settings))
    return loggers
