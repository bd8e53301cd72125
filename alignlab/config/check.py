"""Every error of a config at once, with its path and the nearest valid name, before anything is loaded."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from alignlab.data.files import data_files
from alignlab.data.load import DataSpec
from alignlab.errors import AlignlabError, ConfigError, nearest
from alignlab.objectives.load import build_objective, build_term
from alignlab.objectives.objective import Objective
from alignlab.policies import pretrained
from alignlab.policies.reference import resolve_mode
from alignlab.targets import locate
from alignlab.training.rows import lists_wanted
from alignlab.training.spec import TrainerSpec

Config = Mapping[str, Any]

POSITIVE = (
    "data.lists_per_step",
    "data.microbatch_tokens",
    "data.max_length",
    "data.max_prompt_length",
    "data.limit",
    "data.limit_validation",
    "trainer.max_steps",
    "trainer.max_epochs",
    "trainer.validate_every_n_steps",
    "callbacks.checkpoint.every_n_steps",
    "callbacks.progress.every_n_steps",
    "evaluation.samples_per_prompt",
    "evaluation.max_new_tokens",
)
"""Whole numbers above 0; null only where the key's default is null."""
OPTIONAL = {"data.max_prompt_length", "data.limit", "data.limit_validation", "trainer.max_steps"}
OPTIONAL |= {"trainer.validate_every_n_steps"}
GROUPS = {"objective", "regularizers", "data", "pipeline", "model", "reference", "recipe", "strategy"}
GROUPS |= {"optimizer", "scheduler", "trainer", "logger", "callbacks", "evaluation"}
SCALARS = {"seed", "resume", "run_name", "output_dir", "cache_dir", "optimized_metric"}
PRECISIONS = ("32-true", "bf16-mixed", "bf16-true", "64-true")


def check(config: Config) -> None:
    """Raise one ConfigError that lists everything wrong with a composed, resolved config."""
    problems = list(_problems(config))
    if problems:
        many = f"{len(problems)} things are wrong with this config:\n  - " if len(problems) > 1 else ""
        raise ConfigError(many + "\n  - ".join(problems))


def _problems(config: Config) -> Iterator[str]:
    for key in config:
        if key not in GROUPS | SCALARS:
            yield f"'{key}' is no config key: {nearest(key, GROUPS | SCALARS)}"
    yield from _numbers(config)
    yield from _targets(config)
    yield from _objective(config)
    yield from _data(config)
    yield from _model(config)
    yield from _trainer(config)


def _numbers(config: Config) -> Iterator[str]:
    for path in POSITIVE:
        value = _at(config, path)
        if value is None and path in OPTIONAL:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            yield f"{path}={value}: expected a whole number above 0"
    if isinstance(config["seed"], bool) or not isinstance(config["seed"], int) or config["seed"] < 0:
        yield f"seed={config['seed']}: expected a whole number of at least 0"


def _targets(config: Config) -> Iterator[str]:
    nodes = {"data.source": config["data"].get("source"), "model.loader": config["model"].get("loader")}
    nodes |= {"optimizer": config["optimizer"], "recipe": config["recipe"]}
    nodes |= {f"pipeline.{name}": step for name, step in config["pipeline"].items()}
    for path, node in nodes.items():
        if not isinstance(node, Mapping) or "_target_" not in node:
            group, _, name = path.partition(".")
            way = (
                f"add it ('{group}=[{name}]') or drop the setting"
                if group == "pipeline"
                else "give its _target_"
            )
            yield f"{path} is set, but nothing is chosen there: {way}"
            continue
        try:
            target = locate(node["_target_"], f"{path}._target_")
        except ConfigError as error:
            yield str(error)
        else:
            yield from _unknown_keys(path, node, target)


def _unknown_keys(path: str, node: Config, target: Callable[..., Any]) -> Iterator[str]:
    parameters = inspect.signature(target).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return
    for key in node:
        if key != "_target_" and key not in parameters:
            yield f"{path}.{key}: {node['_target_']} takes no '{key}': {nearest(key, parameters)}"


def _objective(config: Config) -> Iterator[str]:
    terms = {"objective.loss": (config["objective"].get("name"), config["objective"].get("loss"))}
    terms |= {f"regularizers.{name}": (name, node) for name, node in config["regularizers"].items()}
    problems = [p for path, (name, node) in terms.items() if (p := _failure(build_term, name, node, path))]
    yield from problems
    if problems:
        return
    if failure := _failure(build_objective, config["objective"], config["regularizers"]):
        yield failure
        return
    objective = build_objective(config["objective"], config["regularizers"])
    if failure := _failure(resolve_mode, config["reference"]["mode"], objective):
        yield failure
    yield from _lists(config, objective)


def _lists(config: Config, objective: Objective) -> Iterator[str]:
    form = "pairs" if "pairs" in config["pipeline"] else config["data"].get("form")
    if form == "pairs" and not objective.is_pairwise:
        yield lists_wanted(objective.name, config["data"]["name"])


def _data(config: Config) -> Iterator[str]:
    node = config["data"]
    known = set(DataSpec.__dataclass_fields__) - {"steps"}
    for key in node:
        if key not in known:
            yield f"data.{key}: no such setting: {nearest(key, known)}"
    if node.get("on_bad_row") not in ("raise", "skip"):
        yield f"data.on_bad_row={node.get('on_bad_row')}: expected raise or skip"
    if node.get("path") is not None and (failure := _failure(data_files, node["path"])):
        yield failure
    most, longest = node.get("max_prompt_length"), node.get("max_length")
    if isinstance(most, int) and isinstance(longest, int) and most >= longest:
        yield f"data.max_prompt_length={most} leaves no room for a response in data.max_length={longest}"


def _model(config: Config) -> Iterator[str]:
    model, data = config["model"], config["data"]["name"]
    if model["name"] == "tiny" and data != "lab":
        yield (
            f"model=tiny knows only the words of data=lab, not data={data}: use model=smollm2_135m, or "
            "model=local model.path=/my/model"
        )
    path, local_copy = model.get("path"), model["loader"].get("local_copy")
    if path and (failure := _failure(pretrained.resolve, path, local_copy)):
        yield failure
    if (path := config["reference"]["path"]) and (failure := _failure(pretrained.resolve, path)):
        yield failure.replace("model.path", "reference.path")
    if config["evaluation"]["reward"] and data != "lab":
        yield f"evaluation=gold needs the exact reward of data=lab, not data={data}: use evaluation=none"


def _trainer(config: Config) -> Iterator[str]:
    node = config["trainer"]
    known = set(TrainerSpec.__dataclass_fields__)
    for key in node:
        if key not in known:
            yield f"trainer.{key}: no such setting: {nearest(key, known)}"
    for key in ("devices", "num_nodes"):
        if node.get(key) != 1:
            yield f"trainer.{key}={node.get(key)}: strategy=auto trains on one device; set trainer.{key}=1"
    if node.get("precision") not in PRECISIONS:
        yield f"trainer.precision={node.get('precision')}: {nearest(str(node.get('precision')), PRECISIONS)}"
    lr = config["optimizer"].get("lr")
    if lr != "auto" and (isinstance(lr, bool) or not isinstance(lr, (int, float)) or lr < 0):
        yield f"optimizer.lr={lr}: expected auto or a number of at least 0"
    cache = Path(config["cache_dir"])
    if not any(parent.is_dir() for parent in (cache, *cache.parents)) or (
        cache.exists() and not cache.is_dir()
    ):
        yield f"cache_dir={cache}: not a folder, and none can be made there"


def _failure(function: Callable[..., Any], *arguments: Any) -> str | None:
    """The message of the error that a call raises, if it does."""
    try:
        function(*arguments)
    except AlignlabError as error:
        return str(error)
    return None


def _at(config: Config, path: str) -> Any:
    value: Any = config
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value
