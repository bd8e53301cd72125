"""Every error of a config at once, with its path and the nearest valid name, before anything is loaded."""

import math
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from alignlab import ranks
from alignlab.config.mixture import parts_of
from alignlab.config.provided import policy_problems
from alignlab.config.schema import GROUPS, Config, at, misfits
from alignlab.config.signatures import failure_of, misused_targets
from alignlab.data.reading.examples import takes_rows
from alignlab.data.reading.files import data_files
from alignlab.data.steps import text_and_token_steps
from alignlab.errors import ConfigError, nearest
from alignlab.objective.load import build_objective, build_term, choices
from alignlab.objective.objective import Objective
from alignlab.passes.reference_mode import resolve_mode
from alignlab.policies.causal_lm import pretrained
from alignlab.targets import locate
from alignlab.training.rows import lists_wanted, more_wanted
from alignlab.training.spec import on_gpu
from alignlab.training.strategies.deepspeed import misuses

ABOVE_0 = (
    "data.lists_per_step",
    "data.microbatch_tokens",
    "data.max_length",
    "data.max_prompt_length",
    "data.min_response_length",
    "data.limit",
    "data.limit_validation",
    "trainer.max_steps",
    "trainer.max_epochs",
    "trainer.gradient_clip_val",
    "trainer.validate_every_n_steps",
    "reference.every_n_steps",
    "callbacks.checkpoint.every_n_steps",
    "callbacks.checkpoint.keep",
    "trainer.max_nonfinite",
    "callbacks.progress.every_n_steps",
    "peft.r",
    "peft.alpha",
    "evaluation.samples_per_prompt",
    "evaluation.max_new_tokens",
)
AT_LEAST_0 = ("seed", "evaluation.prompts", "optimizer.lr", "optimizer.weight_decay")
SHARES = ("data.validation_fraction", "scheduler.warmup_ratio", "reference.ema_decay")
FORMS = {"pairs": "pairs", "curry_pairs": "pairs", "unpaired": "single"}
"""What steps of the pipeline make of any rows."""
TRACKERS = {"wandb", "tensorboard"}
"""Loggers that are packages of their own."""
DTYPES = ("float32", "bfloat16", "float16", "float64")


def check(config: Config) -> None:
    """Raise one ConfigError that lists everything wrong with a composed, resolved config."""
    problems = list(_problems(config))
    if problems:
        many = f"{len(problems)} things are wrong with this config:\n  - " if len(problems) > 1 else ""
        raise ConfigError(many + "\n  - ".join(problems))


def _problems(config: Config) -> Iterator[str]:
    absent = [group for group in GROUPS if not isinstance(config.get(group), Mapping)]
    yield from (
        f"nothing is chosen for '{group}': {group}=..., of {', '.join(choices(group))}" for group in absent
    )
    if absent:
        return
    yield from misfits(config)
    yield from _ranges(config)
    yield from misused_targets(config)
    yield from _objective(config)
    yield from _pipeline(config)
    yield from _data(config)
    yield from _model(config)
    yield from _trainer(config)
    yield from _loggers(config)


def _ranges(config: Config) -> Iterator[str]:
    bounds = {
        "a number above 0": (ABOVE_0, (math.ulp(0.0), math.inf)),
        "a number of at least 0": (AT_LEAST_0, (0, math.inf)),
        "a share between 0 and 1": (SHARES, (0, 1)),
    }
    for words, (paths, (low, high)) in bounds.items():
        for path in paths:
            value = at(config, path)
            if isinstance(value, (int, float)) and not low <= value <= high:
                yield f"{path}={value}: expected {words}"


def _objective(config: Config) -> Iterator[str]:
    node = config["objective"]
    problems = []
    if failure := failure_of(build_term, node.get("name"), node.get("loss"), "objective.loss"):
        problems = [_placed(failure, "objective.loss")]
    elif failure := failure_of(build_objective, node, {}):
        problems = [_placed(failure, "objective")]
    for group in ("regularizers", "modifiers"):
        for name, term in config[group].items():
            failure = failure_of(build_term, name, term, f"{group}.{name}")
            if failure is None and not problems:
                failure = failure_of(build_objective, node, **{"regularizers": {}, group: {name: term}})
            if failure:
                problems.append(_placed(failure, f"{group}.{name}"))
    yield from problems
    if problems:
        return
    objective = build_objective(node, config["regularizers"], config["modifiers"])
    node, peft = config["reference"], config["peft"].get("method")
    adapter = peft != "none" and node["path"] is None and node["of"] == "start"
    asked = {"adapter": adapter, "update": node["update"]}
    if failure := failure_of(resolve_mode, node["mode"], objective, **asked):
        yield failure
    if peft != "none" and node["update"] in ("ema", "hard"):
        yield (
            f"reference.update={node['update']} moves all weights towards the policy's, and peft={peft} trains others: "
            "use peft=none"
        )
    yield from policy_problems(config, objective)
    if config["strategy"]["name"].startswith("deepspeed"):
        yield from misuses(config, objective)
    yield from _lists(config, objective)


def _placed(failure: str, path: str) -> str:
    return failure if path in failure else f"{path}: {failure}"


def _lists(config: Config, objective: Objective) -> Iterator[str]:
    name, made = config["data"]["name"], [FORMS[step] for step in config["pipeline"] if step in FORMS]
    form = made[-1] if made else config["data"].get("form")
    if form == "pairs" and objective.data_form == "lists":
        yield lists_wanted(objective.name, name)
    if form == "single" and objective.data_form != "single":
        yield more_wanted(objective.name, name)


def _pipeline(config: Config) -> Iterator[str]:
    """Steps on text behind steps on tokens; what is wrong with a step itself is told elsewhere."""
    if any(failure_of(locate, step.get("_target_", ""), "") for step in config["pipeline"].values()):
        return
    steps = {name: locate(step["_target_"]) for name, step in config["pipeline"].items()}
    if failure := failure_of(text_and_token_steps, steps):
        yield failure


def _data(config: Config) -> Iterator[str]:
    node = config["data"]
    if node.get("parts"):
        yield from _parts(config)
        return
    if node["on_bad_row"] not in ("raise", "skip"):
        yield f"data.on_bad_row={node['on_bad_row']}: expected raise or skip"
    if node["path"] is not None and (failure := failure_of(data_files, node["path"])):
        yield failure
    if node["path"] is None and not node.get("hub") and _reads_rows(node["source"]):
        yield f"data '{node['name']}' is read from files: set data.path=/my/file-or-folder"


def _parts(config: Config) -> Iterator[str]:
    """What is wrong with the sources of a mixture."""
    if failure := failure_of(parts_of, config):
        yield failure
        return
    for name, node in parts_of(config).items():
        alone = {**config, "data": node}
        yield from (text.replace("data.", f"data.parts.{name}.") for text in _data(alone))


def _reads_rows(source: Config) -> bool:
    return failure_of(locate, source["_target_"]) is None and takes_rows(locate(source["_target_"]))


def _model(config: Config) -> Iterator[str]:
    model, data = config["model"], config["data"]["name"]
    if model["name"] == "tiny" and data != "lab":
        yield (
            f"model=tiny knows only the words of data=lab, not data={data}: use model=smollm2_135m, or "
            "model=local model.path=/my/model"
        )
    path, loader = model.get("path"), model["loader"]
    if path and (failure := failure_of(pretrained.resolve, path, loader.get("local_copy"))):
        yield failure
    if (dtype := loader.get("dtype", DTYPES[0])) not in DTYPES:
        yield f"model.loader.dtype={dtype}: {nearest(str(dtype), DTYPES)}"
    for key in ("path", "second"):
        path = config["reference"][key]
        if path and (failure := failure_of(pretrained.resolve, path)):
            yield failure.replace("model.path", f"reference.{key}")
    if config["evaluation"]["reward"] and data != "lab":
        yield f"evaluation=gold needs the exact reward of data=lab, not data={data}: use evaluation=none"


def _loggers(config: Config) -> Iterator[str]:
    """Packages that are not installed; a folder of the same name, as W&B leaves behind, is none."""
    for name in sorted(TRACKERS & config["logger"].keys()):
        try:
            version(name)
        except PackageNotFoundError:
            yield f"logger={name} needs the {name} package: pip install 'alignlab[{name}]'"


def _ranks(config: Config) -> Iterator[str]:
    """What is wrong with the number of processes."""
    devices, nodes, strategy = (
        config["trainer"]["devices"],
        config["trainer"]["num_nodes"],
        config["strategy"]["name"],
    )
    for key, value in (("devices", devices), ("num_nodes", nodes)):
        if value < 1:
            yield f"trainer.{key}={value}: expected a number above 0"
    world, lists = devices * nodes, config["data"]["lists_per_step"]
    if world > 1 and strategy == "single":
        yield f"strategy=single trains on one device, not on {world}: use strategy=ddp, fsdp2, ..."
    if strategy in ("fsdp", "fsdp2") and config["trainer"]["precision"] == "64-true":
        yield f"trainer.precision=64-true: strategy={strategy} computes in 32 bits or fewer; use 32-true, or ddp"
    if nodes > 1 and ranks.started_outside() == 1:
        yield (
            f"trainer.num_nodes={nodes}: start the command on every node with torchrun --nnodes={nodes} "
            f"--nproc-per-node={devices}, or use launcher=slurm"
        )
    if on_gpu(config["trainer"]["accelerator"]) and devices > max(1, torch.cuda.device_count()):
        yield f"trainer.devices={devices}: this machine has {torch.cuda.device_count()} GPUs"
    if lists < world:
        yield f"data.lists_per_step={lists}: {world} ranks share the lists of a step; raise it to {world} at least"


def _trainer(config: Config) -> Iterator[str]:
    from transformers import SchedulerType

    node = config["trainer"]
    if node["accelerator"] == "gpu" and not torch.cuda.is_available():
        yield "trainer.accelerator=gpu: this machine has no GPU that torch can use; set trainer.accelerator=auto"
    else:
        yield from _ranks(config)
    lr = config["optimizer"].get("lr")
    if lr != "auto" and (isinstance(lr, bool) or not isinstance(lr, (int, float))):
        yield f"optimizer.lr={lr}: expected auto or a number"
    schedules = [schedule.value for schedule in SchedulerType]
    if (name := config["scheduler"]["name"]) not in schedules:
        yield f"scheduler.name={name}: {nearest(str(name), schedules)}"
    try:
        Path(config["cache_dir"]).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        yield f"cache_dir={config['cache_dir']}: not a folder, and none can be made there ({error.strerror})"
