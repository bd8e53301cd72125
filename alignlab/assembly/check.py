"""The check of a config before anything is loaded: it lists all errors, with their paths and the nearest valid names.

The first part, `check_settings`, reads names, types, ranges, choices, signatures and paths, and imports neither torch
nor any other heavy package. The second, `assembly/check_built.py`, tries what only an import can tell.
"""

import atexit
import gc
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from alignlab import ranks
from alignlab.assembly.nodes import from_source, misused_targets, part_nodes
from alignlab.assembly.online import WORLDS, online_problems, world_of
from alignlab.assembly.schema import GROUPS, OPTIONAL, misshapen, unknown_or_wrong
from alignlab.data.encoding.named_templates import named_template
from alignlab.data.reading.splits import asked, chosen_files
from alignlab.data.spec import DataSpec, Hub
from alignlab.errors import AlignlabError, ConfigError
from alignlab.places import choices
from alignlab.policies.causal_lm import pretrained
from alignlab.policies.causal_lm.model_folder import ModelFolder
from alignlab.runs.record import RENAMED
from alignlab.settings import Config, misfits

TRACKERS = {"wandb", "tensorboard"}
"""The loggers that need a package of their own."""
CAUSAL = "alignlab.policies.causal_lm.model.CausalLM"
HEADED = {
    "alignlab.policies.reward_model.RewardModel": "reward_model",
    "alignlab.policies.preference_model.PreferenceModel": "preference_model",
    "alignlab.policies.user_model.UserModel": "user_model",
    "alignlab.policies.attribute_model.AttributeModel": "attribute_model",
    "alignlab.policies.classifier.Classifier": "classifier",
    "alignlab.policies.reranker.Reranker": "reranker",
}
"""The policies that have a head of their own on the decoder, by their class."""


def check(config: Config) -> None:
    """Raise one ConfigError that lists everything wrong with a composed, resolved config: both parts."""
    check_settings(config)
    with importing():
        from alignlab.assembly.check_built import problems_built  # imports torch and what the config names

        raise_for(problems_built(config))


@contextmanager
def importing() -> Iterator[None]:
    """Collect no garbage while large libraries are imported: their modules stay, and a fifth of the time goes into
    searching them. Later collections pass over them too, but for the last one.
    """
    if "torch" in sys.modules or not gc.isenabled():  # they are there already, or nothing is collected
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        atexit.register(gc.unfreeze)
        gc.enable()


def check_settings(config: Config) -> None:
    """Raise one ConfigError for all errors that show without importing what the config names."""
    absent = [group for group in GROUPS if not isinstance(config.get(group, OPTIONAL.get(group)), Mapping)]
    raise_for(
        f"nothing is chosen for '{group}': {group}=..., of {', '.join(choices(group))}" for group in absent
    )
    raise_for(_problems(config))


def mistakes(config: Config) -> Iterator[str]:
    """Yield a message for each setting with an unknown name, a wrong type, a value out of range, or no taker."""
    yield from unknown_or_wrong(config)
    yield from misused_targets(config)


def raise_for(problems: Iterator[str]) -> None:
    """Raise one ConfigError that lists all problems, if there are any."""
    if messages := list(problems):
        many = f"{len(messages)} things are wrong with this config:\n  - " if len(messages) > 1 else ""
        raise ConfigError(many + "\n  - ".join(messages))


def failure_of(function: Callable[..., Any], *arguments: Any, **keywords: Any) -> str | None:
    """Return the message of the error that a call raises; None where it raises none."""
    try:
        function(*arguments, **keywords)
    except AlignlabError as error:
        return str(error)
    return None


def _problems(config: Config) -> Iterator[str]:
    """Yield a message for each mistake, and for settings of sound types that do not go together."""
    yield from mistakes(config)
    unsound = misshapen(config)
    for problems, groups in TOGETHER.items():
        if unsound.isdisjoint(groups):
            yield from problems(config)


def _metric(config: Config) -> Iterator[str]:
    """Yield a message where a sweep would go for a metric by the name that it had, of which less is not better."""
    metric = config["optimized_metric"]
    if metric in RENAMED and metric.partition("/")[2] not in config.get("metrics", {}):
        yield (
            f"optimized_metric={metric}: this log-ratio on the data is no KL, and is called {RENAMED[metric]}; "
            "the KL is gold/kl (of samples) or val/kl_exact"
        )


def _data(config: Config) -> Iterator[str]:
    node = config["data"]
    if node.get("parts"):
        yield from _parts(config)
        return
    hub = node.get("hub") or {}
    if hub and (wrong := list(misfits(hub, Hub, "data.hub"))):
        yield from wrong
        return
    published = hub.get("splits")
    if node["path"] is None and (failure := failure_of(asked, node.get("split"))):
        yield failure
    if node["path"] is not None and (
        failure := failure_of(chosen_files, node["path"], node.get("split"), published)
    ):
        yield failure
    if node["path"] is None and not node.get("hub") and _reads_rows(node.get("source")):
        yield f"data '{node['name']}' is read from files: set data.path=/my/file-or-folder"


def _parts(config: Config) -> Iterator[str]:
    """Yield a message for each error in the sources of a mixture."""
    for key in ("path", "split"):
        if config["data"].get(key) is not None:
            yield f"data.{key}: a mixture reads its parts alone; set data.parts.<name>.{key}"
    for name, node in part_nodes(config).items():
        if wrong := list(misfits(node, DataSpec, f"data.parts.{name}")):
            yield from wrong
            continue
        alone = {**config, "data": node}
        yield from (text.replace("data.", f"data.parts.{name}.") for text in _data(alone))


def _reads_rows(source: Any) -> bool:
    """Whether a source of our own converts rows: it has a positional parameter, and makes no rows itself."""
    target = source.get("_target_") if isinstance(source, Mapping) else None
    if not isinstance(target, str) or failure_of(from_source, target, ""):
        return False
    signature = from_source(target, "")
    return signature is not None and bool(signature.positional)


def _model(config: Config) -> Iterator[str]:
    model, data = config["model"], config["data"]["name"]
    if model["name"] == "tiny" and data != "lab":
        yield (
            f"model=tiny knows only the words of data=lab, not data={data}: use model=smollm2_135m, or "
            "model=local model.path=/my/model"
        )
    if model["name"] == "sums" and data != "sums":
        yield (
            f"model=sums knows only the numbers of data=sums, not data={data}: use model=smollm2_135m, or model=local "
            "model.path=/my/model"
        )
    path, copy = model.get("path"), model["loader"].get("local_copy")
    if isinstance(path, str) and (
        failure := failure_of(pretrained.resolve, path, copy if isinstance(copy, str) else None)
    ):
        yield failure
    elif isinstance(path, str):
        yield from _wrong_head(str(config["policy"].get("_target_", "")), path)
    if (template := model.get("chat_template")) and (failure := failure_of(named_template, template)):
        yield failure
    reference = config["reference"]
    for key, path in [("path", reference["path"]), *(("others", path) for path in reference["others"])]:
        if isinstance(path, str) and (failure := failure_of(pretrained.resolve, path)):
            yield failure.replace("model.path", f"reference.{key}")
    reward = config["evaluation"]["reward"]
    if reward and (data not in WORLDS.values() or world_of(reward) not in (data, None)):
        world = world_of(reward) or "lab"
        yield f"evaluation=gold needs the exact reward of data={world}, not data={data}: use evaluation=none"


def _wrong_head(target: str, path: str) -> Iterator[str]:
    """Yield a message where a folder holds a classifier, and the policy is a language model, or of another size."""
    folder = ModelFolder(Path(path).expanduser())
    names = [str(name) for name in folder.config.get("architectures") or ()] if folder.is_model else []
    if not any(name.endswith("ForSequenceClassification") for name in names):
        return
    labels = len(folder.config.get("id2label") or {}) or 2
    if target == CAUSAL:
        yield (
            f"model.path={path} is a classifier ({names[0]}), as reward models are, and has no head over the "
            "vocabulary: use policy=reward_model, or a language model"
        )
    elif (policy := HEADED.get(target)) in ("reward_model", "reranker") and labels != 1:
        yield f"model.path={path} is a classifier of {labels} labels, and policy={policy} needs one: choose another"


def _peft(config: Config) -> Iterator[str]:
    """Yield a message for adapters that cannot be trained, or not be kept, with the rest of the config."""
    peft, target = config["peft"], str(config["policy"].get("_target_", ""))
    if peft.get("export") == "adapter" and (policy := HEADED.get(target)):
        yield f"peft.export=adapter keeps adapters alone, and policy={policy} has a head too: use peft.export=merged"
    if peft["method"] != "none" and config["policy"].get("fit") in ("gate", "user"):
        yield (
            f"peft={peft['method']} trains adapters, and policy.fit={config['policy']['fit']} leaves the decoder as it "
            "is: use peft=none"
        )
    if "four_bit" in config["model"]["loader"]:
        yield "model.loader.four_bit: weights of 4 bits cannot train, and adapters beside them can: use peft=qlora"
    if peft["method"] != "qlora":
        return
    if not _is_installed("bitsandbytes"):
        yield "peft=qlora needs the package bitsandbytes: pip install -e '.[qlora]', or use peft=lora"
    if peft.get("export", "adapter") == "merged":
        yield (
            "peft.export=merged: the weights of peft=qlora have 4 bits, and a sum with the adapter would be rounded to "
            "them; keep peft.export=adapter, and merge into the whole model by alignlab export"
        )
    if config["model"]["loader"].get("_target_") != f"{pretrained.__name__}.load":
        yield f"peft=qlora loads a folder or a hub id in 4 bits, not model={config['model']['name']}: use model=local"
    if (strategy := config["strategy"]["name"]) not in ("auto", "single", "ddp"):
        yield f"strategy={strategy} spreads weights, and peft=qlora has 4 bits of each: use strategy=ddp, or peft=lora"


def _ranks(config: Config) -> Iterator[str]:
    """Yield a message for each error in the number of processes that shows on any machine."""
    trainer, strategy = config["trainer"], config["strategy"]["name"]
    lists, counts = config["data"]["lists_per_step"], (trainer["devices"], trainer["num_nodes"])
    if strategy in ("fsdp", "fsdp2") and trainer["precision"] == "64-true":
        yield f"trainer.precision=64-true: strategy={strategy} computes in 32 bits or fewer; use 32-true, or ddp"
    world = counts[0] * counts[1]
    if world > 1 and strategy == "single":
        yield f"strategy=single trains on one device, not on {world}: use strategy=ddp, fsdp2, ..."
    if counts[1] > 1 and ranks.started_outside() == 1:
        yield (
            f"trainer.num_nodes={counts[1]}: start the command on every node with torchrun --nnodes={counts[1]} "
            f"--nproc-per-node={counts[0]}, or use launcher=slurm"
        )
    if lists < world:
        yield f"data.lists_per_step={lists}: {world} ranks share the lists of a step; raise it to {world} at least"


def _loggers(config: Config) -> Iterator[str]:
    """Yield a message for each logger whose package is not installed (a folder of its name, as W&B leaves, is none)."""
    for name in sorted(TRACKERS & config["logger"].keys()):
        if not _is_installed(name):
            yield f"logger={name} needs the {name} package: pip install -e '.[{name}]'"


def _classifier(config: Config) -> Iterator[str]:
    """Yield a message where a step of the pipeline fits a classifier, and its package is not installed."""
    if "desirable_probs" in config.get("pipeline", {}) and not _is_installed("scikit-learn"):
        yield "pipeline=[desirable_probs] needs the package scikit-learn: pip install -e '.[udm]'"


def _is_installed(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


def _cache(config: Config) -> Iterator[str]:
    try:
        Path(config["cache_dir"]).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        yield f"cache_dir={config['cache_dir']}: not a folder, and none can be made there ({error.strerror})"


TOGETHER: dict[Callable[[Config], Iterator[str]], tuple[str, ...]] = {
    _data: ("data",),
    _model: ("model", "data", "reference", "evaluation", "policy"),
    _peft: ("peft", "policy", "model", "strategy"),
    _ranks: ("trainer", "strategy", "data"),
    _loggers: ("logger",),
    _classifier: ("pipeline",),
    online_problems: ("online", "judge", "data", "strategy"),
    _metric: ("optimized_metric", "metrics"),
    _cache: ("cache_dir",),
}
"""The checks of settings that have to go together, each with the groups and settings that it reads."""
