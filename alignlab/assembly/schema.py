"""The schema of the config: a dataclass for each group. A node with a `_target_` has the target's signature instead."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, get_type_hints

from alignlab.data.spec import DataSpec
from alignlab.objective.settings import ObjectiveSettings
from alignlab.online.settings import BufferSpec, OnlineSpec
from alignlab.policies.causal_lm.adapter_settings import PeftSettings
from alignlab.settings import (
    Config,
    FolderName,
    Place,
    Positive,
    Seed,
    Text,
    fits,
    hints_of,
    misfits,
    typed,
    whole,
)
from alignlab.training.settings import (
    CheckpointSpec,
    GoldSpec,
    OptimizerSpec,
    ProgressSpec,
    ReferenceSettings,
    StepLogSpec,
    TrainerSpec,
)


@dataclass
class Root:
    """The schema of conf/train.yaml: its groups and its scalars."""

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
    metrics: Config
    seed: Seed
    run_name: FolderName
    output_dir: Place
    cache_dir: Place
    optimized_metric: Text
    optimized_direction: Literal["auto", "minimize", "maximize"]
    report: bool
    generator: Config = field(default_factory=dict)
    judge: Config = field(default_factory=dict)
    online: Config = field(default_factory=dict)


@dataclass
class Model:
    """The schema of conf/model."""

    name: Text
    path: Place | None
    chat_template: Text | None
    packing: Literal["auto", "on", "off"]
    loader: Config


@dataclass
class Strategy:
    """The schema of conf/strategy."""

    name: Text
    engine: Config | None


@dataclass
class Resume:
    """The schema of conf/resume."""

    path: Place | None
    allow: list[Text]


@dataclass
class Launcher:
    """The schema of conf/launcher: a name, and for slurm what a job of the cluster is given."""

    name: Literal["local", "joblib", "slurm"]
    partition: Text | None
    account: Text | None
    qos: Text | None
    time: Positive | Text
    nodes: Annotated[int, whole(1, 10_000)]
    gpus_per_node: Annotated[int, whole(0, 1024)]
    tasks_per_node: Annotated[int, whole(1, 1024)]
    cpus_per_task: Annotated[int, whole(1, 65_536)] | None
    mem: Text | Positive | None
    parallel: Positive | None
    setup: list[str]
    signal: Text
    requeue: bool
    sbatch: Config
    snapshot: list[Place]
    wait: bool
    dry_run: bool


SCHEMA: dict[str, type] = {
    "": Root,
    "objective": ObjectiveSettings,
    "data": DataSpec,
    "model": Model,
    "reference": ReferenceSettings,
    "peft": PeftSettings,
    "strategy": Strategy,
    "trainer": TrainerSpec,
    "evaluation": GoldSpec,
    "online": OnlineSpec,
    "online.buffer": BufferSpec,
    "resume": Resume,
    "launcher": Launcher,
    "callbacks.checkpoint": CheckpointSpec,
    "callbacks.progress": ProgressSpec,
    "callbacks.step_log": StepLogSpec,
    "optimizer": OptimizerSpec,
}
NEEDED: dict[str, tuple[str, ...]] = {
    "": tuple(name for name, hint in get_type_hints(Root).items() if hint != Config),
    "objective": ("name", "loss"),
    "data": ("name", "path", "lists_per_step", "microbatch_tokens", "processes"),
    "model": ("name", "loader"),
    "reference": tuple(get_type_hints(ReferenceSettings)),
    "peft": ("method",),
    "strategy": ("name", "engine"),
    "trainer": ("devices", "num_nodes", "accelerator", "precision", "max_steps", "max_epochs"),
    "evaluation": ("reward",),
    "resume": ("path", "allow"),
    "callbacks": ("checkpoint", "progress"),
    "callbacks.progress": ("every_n_steps",),
    "callbacks.step_log": ("path",),
    "optimizer": ("lr",),
}
"""The settings that are read wherever they stand, so that a command may change them and not take them out."""
OPEN = {"optimizer"}
"""The nodes whose `_target_` has settings besides those of the node's dataclass."""
GROUPS = [name for name, hint in get_type_hints(Root).items() if hint == Config]
"""The groups of a config."""
OPTIONAL: dict[str, Config] = {"generator": {}, "judge": {}, "online": {}}
"""The groups that a run may be without, as those of earlier versions are."""


def unknown_or_wrong(config: Config) -> Iterator[str]:
    """Yield a message for every plain setting with an unknown name, of a wrong type, or out of its range."""
    for path in NEEDED:
        for key in absent(config, path):
            yield f"{path}.{key}".removeprefix(".") + " is missing: it can be changed, and not be taken out"
    for path, schema in SCHEMA.items():
        node, (above, _, name) = at(config, path), path.rpartition(".")
        if isinstance(node, Mapping):
            yield from misfits(node, schema, path, closed=path not in OPEN)
        elif above and name in (at(config, above) or {}):
            yield f"{path}={typed(node)}: expected a group of settings"


def absent(config: Config, path: str) -> list[str]:
    """Return the settings that a node needs and does not have."""
    node = at(config, path)
    return [key for key in NEEDED.get(path, ()) if isinstance(node, Mapping) and key not in node]


def misshapen(config: Config) -> set[str]:
    """Return the groups, and the settings above them, in which something is missing or has a wrong type."""
    wrong = {path.partition(".")[0] or key for path in NEEDED for key in absent(config, path)}
    for path, schema in SCHEMA.items():
        node, hints = at(config, path), hints_of(schema)
        if isinstance(node, Mapping):
            unlike = {key for key, hint in hints.items() if key in node and not _is_sound(node[key], hint)}
            wrong |= {path.partition(".")[0] or key for key in unlike}
        elif node is not None:
            wrong.add(path.partition(".")[0])
    return wrong


def _is_sound(value: Any, hint: Any) -> bool:
    """Whether a value is of a type, and a text or a list of the form that is expected."""
    return fits(value, hint, ranges=isinstance(value, (str, list)))


def with_texts(config: Config) -> Config:
    """Return the config with whole numbers as text where a setting can be text and no number: a folder called 2024."""
    changed = dict(config)
    for path, schema in SCHEMA.items():
        node = at(config, path)
        if "." in path or not isinstance(node, Mapping):
            continue
        texts = {
            key: text
            for key, hint in hints_of(schema).items()
            if key in node and not fits(node[key], hint) and fits(text := _as_text(node[key]), hint)
        }
        changed = {**changed, **({path: {**node, **texts}} if path else texts)}
    return changed


def _as_text(value: Any) -> Any:
    if isinstance(value, list):
        return [_as_text(element) for element in value]
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def at(config: Config, path: str) -> Any:
    """Return the value at a dotted path; None where there is none."""
    value: Any = config
    for key in path.split(".") if path else ():
        value = value.get(key) if isinstance(value, Mapping) else None
    return value
