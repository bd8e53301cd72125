"""Names and types of the plain settings. Nodes with a `_target_` are checked by its signature instead."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from alignlab.data.spec import DataSpec
from alignlab.errors import nearest
from alignlab.training.spec import CheckpointSpec, TrainerSpec

Config = Mapping[str, Any]


@dataclass
class Root:
    """Groups and scalars of conf/train.yaml."""

    objective: Config
    regularizers: Config
    modifiers: Config
    data: Config
    pipeline: Config
    model: Config
    policy: Config
    reference: Config
    peft: Config
    recipe: Config
    strategy: Config
    launcher: Config
    optimizer: Config
    scheduler: Config
    trainer: Config
    logger: Config
    callbacks: Config
    resume: Config
    evaluation: Config
    seed: int
    run_name: str
    output_dir: str
    cache_dir: str
    optimized_metric: str
    optimized_direction: Literal["auto", "minimize", "maximize"]
    report: bool


@dataclass
class Objective:
    """conf/objective."""

    name: str
    title: str
    paper: str | None
    loss: Config
    modifiers: Config
    pairs: str
    reduction: str
    form: str
    implicit_reward: str
    ranges: Config
    notes: Config


@dataclass
class Model:
    """conf/model."""

    name: str
    path: str | None
    packing: Literal["auto", "on", "off"]
    loader: Config


@dataclass
class Reference:
    """conf/reference."""

    mode: str
    path: str | None
    of: Literal["start", "base"]
    second: str | None
    check_start: bool
    shard: bool | Literal["auto"]
    update: str
    every_n_steps: int
    ema_decay: float


@dataclass
class Peft:
    """conf/peft."""

    method: Literal["none", "lora"]
    r: int
    alpha: int
    target_modules: str | list[str]


@dataclass
class Scheduler:
    """conf/scheduler."""

    name: str
    warmup_ratio: float


@dataclass
class Strategy:
    """conf/strategy."""

    name: str
    engine: Config | None


@dataclass
class Evaluation:
    """conf/evaluation."""

    reward: str | None
    prompts: int
    samples_per_prompt: int
    max_new_tokens: int


@dataclass
class Resume:
    """conf/resume."""

    path: str | None
    allow: list[str]


@dataclass
class Launcher:
    """conf/launcher: a name, and for slurm what a job of the cluster is given."""

    name: Literal["local", "joblib", "slurm"]
    partition: str | None
    account: str | None
    qos: str | None
    time: int | str
    nodes: int
    gpus_per_node: int
    tasks_per_node: int
    cpus_per_task: int | None
    mem: str | int | None
    parallel: int | None
    setup: list[str]
    signal: str
    requeue: bool
    sbatch: Config
    snapshot: list[str]
    wait: bool
    dry_run: bool


@dataclass
class Every:
    """A callback with an interval."""

    every_n_steps: int


@dataclass
class Callbacks:
    """conf/callbacks."""

    checkpoint: Config
    progress: Config
    step_log: Config


@dataclass
class StepLog:
    """conf/callbacks/step_log.yaml."""

    path: str | None


@dataclass
class Loggers:
    """conf/logger, what may be chosen."""

    csv: Config
    wandb: Config
    tensorboard: Config


@dataclass
class Wandb:
    """conf/logger/wandb.yaml."""

    mode: Literal["auto", "online", "offline"]
    project: str
    entity: str | None
    group: str | None
    tags: list[str]


SCHEMA: dict[str, type] = {
    "": Root,
    "objective": Objective,
    "data": DataSpec,
    "model": Model,
    "reference": Reference,
    "peft": Peft,
    "scheduler": Scheduler,
    "strategy": Strategy,
    "trainer": TrainerSpec,
    "evaluation": Evaluation,
    "resume": Resume,
    "launcher": Launcher,
    "callbacks": Callbacks,
    "callbacks.checkpoint": CheckpointSpec,
    "callbacks.progress": Every,
    "callbacks.step_log": StepLog,
    "logger": Loggers,
    "logger.wandb": Wandb,
}
BUILT = {("data", "steps")}
"""Fields that are built from another group."""
GROUPS = [name for name, hint in get_type_hints(Root).items() if hint == Config]
WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text", NoneType: "null"}
WORDS |= {list[str]: "a list of texts"}


def misfits(config: Config) -> Iterator[str]:
    """A message for every setting with an unknown name or of a wrong type."""
    for path, kind in SCHEMA.items():
        hints = {name: hint for name, hint in get_type_hints(kind).items() if (path, name) not in BUILT}
        for key, value in (at(config, path) or {}).items():
            where = f"{path}.{key}" if path else key
            if key not in hints:
                yield f"{where}: no such setting: {nearest(key, hints)}"
            elif not fits(value, hints[key]):
                yield f"{where}={value}: {_wanted(value, hints[key])}"


def at(config: Config, path: str) -> Any:
    """The value at a dotted path; None where there is none."""
    value: Any = config
    for key in path.split(".") if path else ():
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def fits(value: Any, hint: Any) -> bool:
    """Whether a value is of a type; a whole number is a number, a truth value is not.

    >>> fits(3, float), fits(True, int), fits(None, int | None), fits("x", Literal["x", "y"])
    (True, False, True, True)
    """
    kind, options = get_origin(hint), get_args(hint)
    if kind in (Union, UnionType):
        return any(fits(value, option) for option in options)
    if kind is Literal:
        return value in options
    if kind is list:
        return isinstance(value, list) and all(fits(element, *options) for element in value)
    if hint in (int, float):
        return isinstance(value, (int, hint)) and not isinstance(value, bool)
    if hint in (bool, str, NoneType):
        return isinstance(value, hint)
    return isinstance(value, Mapping) if hint == Config else True


def _wanted(value: Any, hint: Any) -> str:
    if get_origin(hint) is Literal:
        return nearest(str(value), get_args(hint))
    options = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    return "expected " + " or ".join(WORDS.get(option, "a group of settings") for option in options)
