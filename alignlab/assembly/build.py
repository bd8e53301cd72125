"""The parts of a run, built from a composed config. Objects are made here, in Python, and nowhere else."""

import inspect
import logging
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from alignlab.assembly.judges import build_judge
from alignlab.assembly.nodes import PLAIN_CALLBACKS, STEP_NAMES, WARMUP_NAME, loader_of, part_nodes
from alignlab.data.spec import DataSpec
from alignlab.objective.load import build_objective
from alignlab.objective.objective import Objective
from alignlab.online.settings import OnlineSpec
from alignlab.policies.causal_lm.adapter_settings import PeftSettings
from alignlab.policies.causal_lm.adapters import LoadModel, lora
from alignlab.policies.causal_lm.decoder import merge
from alignlab.policies.causal_lm.model_folder import ModelFolder
from alignlab.policies.causal_lm.pretrained import is_adapter
from alignlab.policies.policy import Policy
from alignlab.runs.folder import RunFolder
from alignlab.sampling.in_process import InProcess
from alignlab.settings import Config
from alignlab.targets import locate
from alignlab.training.loggers.csv_log import make_csv
from alignlab.training.loggers.guarded import guarded
from alignlab.training.loggers.tracked_run import TrackedRun
from alignlab.training.optim import auto_lr, groups
from alignlab.training.settings import CheckpointSpec, GoldSpec, MovingSpec, ShownSpec, TrainerSpec
from alignlab.training.spec import Online, ReferenceSpec, Stage
from alignlab.training.strategies.ddp import Ddp
from alignlab.training.strategies.engine import Engine

log = logging.getLogger(__name__)


def call(node: Config, path: str) -> Any:
    """Return the function that a `_target_` node names, with the node's other keys bound as keywords."""
    keywords = {key: value for key, value in node.items() if key != "_target_"}
    return partial(locate(node["_target_"], path), **keywords)


def build_stage(
    config: Config, folder: RunFolder, names: Mapping[str, str], initial: Config | None = None
) -> Stage:
    """Build a stage from its config; `names` are what trackers call the run: name, group.

    `initial` are the settings of the model that the run began with, where the stage begins with another.
    """
    gold = config["evaluation"]
    return Stage(
        objective=objective_of(config),
        data=build_data(config),
        load_model=start_loader(config),
        make_policy=partial(make_policy, config),
        row_problems=partial(locate(config["policy"]["_target_"]).row_problems, config["policy"]),
        load_initial=None if initial is None else adopting(config, initial["loader"]),
        reference=build_reference(config, initial),
        make_optimizer=partial(
            make_optimizer,
            config["optimizer"],
            config["scheduler"],
            lr_factor=locate(config["policy"]["_target_"]).lr_factor * _online_lr_factor(config),
        ),
        make_loggers=partial(make_loggers, config, folder, names),
        make_callbacks=partial(make_callbacks, config["callbacks"]),
        trainer=TrainerSpec(**config["trainer"]),
        cache_dir=Path(config["cache_dir"]),
        seed=config["seed"],
        checkpoint=CheckpointSpec(**config["callbacks"]["checkpoint"]),
        progress_every=config["callbacks"]["progress"]["every_n_steps"],
        make_generator=call(config["generator"], "generator") if config.get("generator") else InProcess,
        online=build_online(config),
        engine=build_engine(config),
        step_log=_step_log(config["callbacks"], folder),
        gold=GoldSpec(**{**gold, "reward": locate(gold["reward"])}, seed=config["seed"])
        if gold["reward"]
        else None,
        shown=None if gold["reward"] else _shown(config),
        users=_users(config),
    )


def make_policy(config: Config, model: Any) -> Policy:
    """Return the policy of a config around its model, at the temperature at which responses are drawn to train on.

    Where the loss decouples the policy from its reference (`objective.loss.decoupling`), the policy knows how far.
    """
    policy: Policy = call(config["policy"], "policy")(model)
    online = config.get("online") or {}
    if not online.get("draw"):  # whose responses are drawn whole
        policy.temperature = online.get("temperature", Policy.temperature)
    policy.decoupling = (config.get("objective") or {"loss": {}})["loss"].get("decoupling", Policy.decoupling)
    return policy


def build_online(config: Config) -> Online | None:
    """Build how lists are drawn from the policy; None where a run trains on the lists of its data."""
    node = config.get("online") or {}
    if not node:
        return None
    pairs = node.get("pairs")
    chosen = {} if pairs is None else {"builder": call(pairs, "online.pairs"), "built": described(pairs)}
    draw = node.get("draw")
    return Online(
        OnlineSpec(**{**node, "pairs": None, "draw": None}, seed=config["seed"]),
        make_judge=partial(build_judge, config["judge"]) if config.get("judge") else lambda: None,
        way=None if draw is None else call(draw, "online.draw")(),
        **chosen,
    )


def _online_lr_factor(config: Config) -> float:
    """Return the factor of the learning rate where lists are drawn, of which a step may take in more."""
    node = config.get("online") or {}
    if not node or node.get("lists", OnlineSpec.lists) == "data":
        return 1.0
    return float(node.get("lr_factor", OnlineSpec.lr_factor))


def described(node: Config) -> str:
    """Return what a node names with its settings, on one line.

    >>> described({"_target_": "alignlab.online.pairs.threshold", "at": 0.5})
    'threshold, at 0.5'
    """
    settings = [f"{key} {value}" for key, value in node.items() if key != "_target_"]
    return ", ".join([node["_target_"].rpartition(".")[2], *settings])


def _users(config: Config) -> frozenset[str] | None:
    """Return the users whom the policy will know: those of the config, and of the folder of a trained user model."""
    policy, path = locate(config["policy"]["_target_"], "policy._target_"), config["model"].get("path")
    if not policy.reads_users or (own := config["policy"].get("users")) is None:
        return None
    saved = (
        ModelFolder(Path(path).expanduser()).config.get("alignlab_users") if isinstance(path, str) else None
    )
    return frozenset(map(str, [*own, *(saved or ())]))


def _shown(config: Config) -> ShownSpec | None:
    """Return how samples are drawn that nothing scores; None where there are to be none, or the policy draws none."""
    plain = {name: value for name, value in config["evaluation"].items() if name != "reward"}
    draws = locate(config["policy"]["_target_"], "policy._target_").draws
    shown = ShownSpec(**plain, seed=config["seed"])
    return shown if draws and shown.prompts else None


def objective_of(config: Config) -> Objective:
    """Build the objective of a config: the loss with its regularizers, modifiers and metrics."""
    return build_objective(
        config["objective"], config["regularizers"], config["modifiers"], config.get("metrics")
    )


def build_engine(config: Config) -> Engine:
    """Build the engine that `strategy` names; `auto` is one device, or ddp on several ranks."""
    node = config["strategy"]["engine"]
    if node is None:
        return Ddp() if world_of(config) > 1 else Engine()
    engine: Engine = call(node, "strategy.engine")()
    return engine


def world_of(config: Config) -> int:
    """Return the number of ranks that the config asks for."""
    trainer = config["trainer"]
    return int(trainer["devices"] * trainer["num_nodes"])


def _step_log(callbacks: Config, folder: RunFolder) -> Path | None:
    """Return the file to which steps are logged, in the run folder where the config has null; None without a log."""
    if "step_log" not in callbacks:
        return None
    return Path(callbacks["step_log"]["path"] or folder.path / "step_log.jsonl")


def build_data(config: Config) -> DataSpec:
    """Build the specification of the data: source, pipeline and knobs."""
    steps = {name: call(step, f"pipeline.{name}") for name, step in config["pipeline"].items()}
    if not config["data"].get("parts"):
        return source_data(config["data"], steps)
    parts = {name: source_data(node, {}) for name, node in part_nodes(config).items()}
    weights = {name: node["weight"] for name, node in config["data"]["parts"].items()}
    mix = partial(call(config["data"]["mix"], "data.mix"), weights=weights)
    return replace(source_data(config["data"], steps), parts=parts, mix=mix)


def source_data(node: Config, steps: Mapping[str, Any]) -> DataSpec:
    """Build the specification of one source with its knobs."""
    known = {field.name for field in fields(DataSpec)} - {"source", "steps", "parts", "mix"}
    return DataSpec(
        source=call(node["source"], "data.source") if node.get("source") else None,
        steps=steps,
        **{key: value for key, value in node.items() if key in known},
    )


def adopting(config: Config, loader: Config, *, keep_adapter: bool = False) -> LoadModel:
    """Return a loader of models that gives them in the form that the policy of the config wraps.

    The adapter of a folder that holds one is merged into its base model, unless it is kept.
    """
    policy, load = locate(config["policy"]["_target_"], "policy._target_"), call(loader, "model.loader")
    taken = inspect.signature(policy.adopt).parameters
    settings = {key: value for key, value in config["policy"].items() if key in taken}

    def adopted() -> tuple[Any, Any]:
        model, tokenizer = load()
        return policy.adopt(model if keep_adapter else merge(model), tokenizer, **settings), tokenizer

    return adopted


def plain_start(config: Config) -> LoadModel:
    """Return the loader of the model that training starts from, before new adapters are put in.

    With peft, an adapter that the model brings stays one, and weights have the 4 bits of peft=qlora.
    """
    settings, loader = PeftSettings(**config["peft"]), config["model"]["loader"]
    if settings.method == "qlora":
        loader = {**loader, "four_bit": True}
    goes_on = settings.method != "none" and is_adapter(config["model"].get("path"))
    return adopting(config, loader, keep_adapter=goes_on)


def start_loader(config: Config) -> LoadModel:
    """Return the loader of the model that trains, with its adapters."""
    load, settings = plain_start(config), PeftSettings(**config["peft"])
    task = locate(config["policy"]["_target_"]).peft_task
    return load if settings.method == "none" else partial(lora, load, settings, task)


def is_adapters_off(config: Config) -> bool:
    """Whether the reference is the policy with its adapters switched off, so that no second copy is needed.

    It is not where the policy starts from an adapter, which belongs to the reference too.
    """
    node, model = config["reference"], config["model"]
    new = config["peft"]["method"] != "none" and not is_adapter(model.get("path"))
    return new and node["path"] is None and node["of"] == "start"


def _starts_with_dropout(config: Config) -> bool:
    """Whether the first step differs from the start already, by dropout in an adapter that has learned something."""
    return bool(config["peft"].get("dropout")) and is_adapter(config["model"].get("path"))


def build_reference(config: Config, initial: Config | None = None) -> ReferenceSpec:
    """Build the specification of the reference: the model that training starts from, unless the config names another.

    Another is `reference.path`, or the model that the run began with (`initial`), where `reference.of` says so.
    """
    node, model = config["reference"], config["model"]
    start = model.get("path") or model["name"]

    def named(path: str) -> tuple[str, LoadModel]:
        return path, adopting(config, loader_of(model, path))

    name, load = start, plain_start(config)
    if node["path"] is not None:
        name, load = named(node["path"])
    elif node["of"] == "base" and initial is not None:
        name, load = initial.get("path") or initial["name"], adopting(config, initial["loader"])
    return ReferenceSpec(
        mode=node["mode"],
        name=name,
        load=load,
        is_start=name == start,
        adapters_off=name == start and is_adapters_off(config),
        check_start=node["check_start"] and not _starts_with_dropout(config),
        others=[named(path) for path in node["others"]],
        shard=None if node["shard"] == "auto" else node["shard"],
        moving=MovingSpec(node["update"], node["every_n_steps"], node["ema_decay"]),
    )


def optimizer_settings(optimizer: Config) -> dict[str, Any]:
    """Return what an optimizer is called with besides parameters and lr; torch takes no whole number for a beta."""
    settings = {key: value for key, value in optimizer.items() if key not in ("_target_", "lr")}
    if isinstance(betas := settings.get("betas"), (list, tuple)):
        settings["betas"] = tuple(map(float, betas))
    return settings


def make_optimizer(
    optimizer: Config,
    scheduler: Config,
    policy: nn.Module,
    steps: int,
    count: int,
    *,
    lr_factor: float = 1.0,
) -> tuple[Any, Any]:
    """Build (optimizer, schedule) over the trainable parameters.

    `lr: auto` goes by their `count` over all ranks, times the `lr_factor` of the kind of policy.
    A schedule is given the number of `steps` under whichever name it takes it (`STEP_NAMES`).
    """
    settings = optimizer_settings(optimizer)
    lr = lr_factor * auto_lr(count) if optimizer["lr"] == "auto" else float(optimizer["lr"])
    log.info(
        "optimizer: %s, lr %.3g, %s parameters", optimizer["_target_"].rpartition(".")[2], lr, f"{count:,}"
    )
    torch_optimizer = locate(optimizer["_target_"], "optimizer")(groups(policy), lr=lr, **settings)
    offered: dict[str, Any] = dict.fromkeys(STEP_NAMES, steps)
    if WARMUP_NAME not in scheduler and "warmup_ratio" in scheduler:
        offered[WARMUP_NAME] = round(scheduler["warmup_ratio"] * steps)
    return torch_optimizer, offering(scheduler, "scheduler", offered)(torch_optimizer)


def make_loggers(config: Config, folder: RunFolder, names: Mapping[str, str]) -> Sequence[Any]:
    """Build the csv logger and the loggers chosen; a logger that fails is left out."""
    tracked = {"tracked_run": TrackedRun(folder, config, names["name"], names["group"])}
    nodes = {"csv": {"_target_": f"{make_csv.__module__}.{make_csv.__name__}"}, **config["logger"]}
    logger_lists = (guarded(name, offering(node, f"logger.{name}", tracked)) for name, node in nodes.items())
    return [logger for loggers in logger_lists for logger in loggers]


def make_callbacks(callbacks: Config) -> dict[str, Any]:
    """Build the callbacks of the config by name, except those of our own that are built with parts of the stage."""
    nodes = {name: node for name, node in callbacks.items() if name not in PLAIN_CALLBACKS}
    return {name: call(node, f"callbacks.{name}")() for name, node in nodes.items()}


def offering(node: Config, path: str, offered: Mapping[str, Any]) -> Any:
    """Bind the function that a node names to the node's keys, and to those of the `offered` values that it takes.

    Offered values go to parameters that the node does not set and that have no default, or null.
    """
    function = locate(node["_target_"], path)
    parameters = inspect.signature(function).parameters
    wanted = {
        name: value
        for name, value in offered.items()
        if name in parameters and parameters[name].default in (inspect.Parameter.empty, None)
    }
    own = {key: value for key, value in node.items() if key in parameters or key != "warmup_ratio"}
    return call({**wanted, **own}, path)
