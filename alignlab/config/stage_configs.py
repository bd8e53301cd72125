"""The configs of a run's stages, composed from override strings and checked before anything is loaded."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hydra import compose
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from alignlab.assembly.check import check, failure_of, raise_for
from alignlab.assembly.nodes import loader_of
from alignlab.assembly.online import unused_generator
from alignlab.assembly.schema import GROUPS, with_texts
from alignlab.config.explain import explain
from alignlab.config.mixture import with_parts
from alignlab.config.typed import parsed
from alignlab.errors import ConfigError, nearest
from alignlab.own_code import named
from alignlab.policies.causal_lm import pretrained
from alignlab.recipes.stage_spec import PREVIOUS_JUDGE, StageSpec
from alignlab.runs.folder import RunFolder
from alignlab.runs.overrides import key_of
from alignlab.settings import Config
from alignlab.targets import locate

WORDS = ("previous", "base")
"""The names of models that need no folder."""


@dataclass(frozen=True)
class Planned:
    """A planned stage: what its recipe says, and its config as far as it is known before the run."""

    number: int
    spec: StageSpec
    config: Config

    def folder(self, run: RunFolder) -> RunFolder:
        """Return the stage's folder; it is the run folder for the one stage of a plain run."""
        return replace(run, path=run.path / "stages" / self.title) if self.spec.name else run

    @property
    def title(self) -> str:
        """The number and the name of the stage."""
        return f"{self.number:02d}-{self.spec.name}"


def planned(config: Config, overrides: Sequence[str], hydra: Sequence[str], name: str) -> list[Planned]:
    """Plan every stage of the run, and check them all, so that the last stage has no error which the first would show.

    `overrides` are those of the run, `hydra` the ones for Hydra itself, `name` is its primary config.
    Raises one ConfigError for all that is wrong.
    """
    check(with_parts(config))
    raise_for(unused_generator(config))
    plan = []
    problems = []
    for number, spec in enumerate(specs_of(config), start=1):
        own = (*spec.overrides, "reference.update=ema") if spec.reference == "ema" else spec.overrides
        try:
            own_config = _stage_config(name, hydra, overrides, own) if own else config
            stage = Planned(number, spec, _with_reference(own_config, spec, number))
            check(with_parts(stage.config))
            _check_spec(spec)
        except ConfigError as error:
            problems.append(f"stage {number}, {spec.name}: {error}")
            continue
        plan.append(stage)
    if problems:
        raise ConfigError("\n".join(problems))
    return plan


def resolved(cfg: DictConfig) -> dict[str, Any]:
    """Return the config as plain dicts; raises ConfigError on missing values and interpolations that lead nowhere."""
    try:
        config: Any = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
        return dict(with_texts(config))
    except OmegaConfBaseException as error:
        raise ConfigError(explain(error)) from error


def combined(run: Sequence[str], stage: Sequence[str]) -> list[str]:
    """Return the overrides of the run and then those of a stage.

    Where the stage chooses a group anew, what the run set inside its own choice is left out.

    >>> combined(["objective=dpo", "objective.loss.beta=0.3", "seed=1"], ["objective=ipo"])
    ['seed=1', 'objective=ipo']
    """
    chosen = _chosen(stage)

    def holds(key: str) -> bool:
        group, _, rest = key.partition(".")
        if group not in chosen:
            return True
        return bool(rest) and isinstance(chosen[group], list) and rest.partition(".")[0] in chosen[group]

    read = zip(run, parsed(run), strict=True)
    return [*(text for text, override in read if holds(override.key_or_group)), *stage]


def _chosen(overrides: Sequence[str]) -> dict[str, Any]:
    """Return what these overrides choose of each group; a list where several may be chosen."""
    return {
        override.key_or_group: override.value()
        for override in parsed(overrides)
        if override.key_or_group in GROUPS
    }


def _stage_config(
    name: str, hydra: Sequence[str], run: Sequence[str], stage: Sequence[str]
) -> dict[str, Any]:
    """Compose the config of a stage; a group that it chooses anew loses what an experiment set inside."""
    cfg, chosen = _compose(name, [*hydra, *combined(run, stage)]), _chosen(stage)
    own = [text for text in stage if key_of(text).partition(".")[0].partition("@")[0] in chosen]
    alone = _compose(name, [*hydra, *own])
    OmegaConf.set_struct(cfg, False)
    for group, choice in chosen.items():
        if isinstance(choice, list):
            cfg[group] = {
                key: node for key, node in cfg[group].items_ex(resolve=False) if key in alone[group]
            }
        else:
            cfg[group] = alone[group]
    return resolved(cfg)


def placed(stage: Planned, previous: Path | None) -> dict[str, Any]:
    """Return the config of a stage with the folders of the models that it starts from and refers to."""
    config, spec = dict(stage.config), stage.spec
    start, reference = (_place(where, previous) for where in (spec.init, spec.reference))
    if start is not None:
        config["model"] = model_at(config["model"], start)
    if reference is not None:
        path = None if reference == start else str(reference)
        config["reference"] = {**config["reference"], "path": path}
    judge = config.get("judge") or {}
    if judge.get("path") == PREVIOUS_JUDGE:
        if previous is None:
            raise ConfigError(f"judge.path={PREVIOUS_JUDGE}: there is no stage before this one")
        config["judge"] = {**judge, "path": str(previous)}
    return config


def judged_by(config: Config, models: Sequence[Path]) -> dict[str, Any]:
    """Return the config of a stage whose pipeline step `reward_margins` goes by these models, where it names none."""
    step = config["pipeline"].get("reward_margins")
    if step is None or step["models"] is not None:
        return dict(config)
    named = {**step, "models": [str(model) for model in models]}
    return {**config, "pipeline": {**config["pipeline"], "reward_margins": named}}


def _place(where: str, previous: Path | None) -> Path | None:
    """Return the folder of a model; None for the model that the config itself names."""
    if where == "previous":
        return previous
    return None if where in ("base", "ema") else Path(where)


def model_at(model: Config, folder: Path) -> Config:
    """Return the settings of a model with other weights, those of a folder."""
    return {**model, "path": str(folder), "loader": loader_of(model, str(folder))}


def _with_reference(config: Config, spec: StageSpec, number: int) -> dict[str, Any]:
    """Return the config of a stage with the model that `reference.path=null` stands for in it."""
    moved = spec.init != "base" and (spec.init != "previous" or number > 1)
    of = "base" if moved and spec.reference == "base" else "start"
    return {**config, "reference": {**config["reference"], "of": of}}


def _check_spec(spec: StageSpec) -> None:
    """Raise ConfigError on a name, a model or a collector that cannot be."""
    for key, where, words in (("init", spec.init, WORDS), ("reference", spec.reference, (*WORDS, "ema"))):
        if where in words:
            continue
        if "/" not in where and not Path(where).exists():
            raise ConfigError(f"{key}={where}: {nearest(where, words)}; or a model folder")
        if failure := failure_of(pretrained.resolve, where):
            raise ConfigError(failure.replace("model.path", key))
    if spec.name and not re.fullmatch(r"[\w.-]+", spec.name):
        raise ConfigError(f"name={spec.name}: it names a folder; use letters, digits and _ - . alone")
    if spec.collect is not None:
        locate(str(spec.collect.get("_target_", "")), "collect._target_")


def specs_of(config: Config) -> list[StageSpec]:
    """Return the stages that the recipe yields, with `recipe.overrides` behind the overrides of each."""
    node = config["recipe"]
    options = {key: value for key, value in node.items() if key not in ("_target_", "overrides")}
    recipe = locate(node["_target_"])
    with named("recipe", recipe):
        specs = list(recipe(list(config["pipeline"]), **options))
    names = {str(number): number - 1 for number in range(1, len(specs) + 1)}
    names |= {spec.name: number for number, spec in enumerate(specs) if spec.name}
    if len(names) < 2 * len(specs) - (not specs[0].name):
        raise ConfigError(f"recipe: two stages of one name: {', '.join(spec.name for spec in specs)}")
    own = node.get("overrides") or {}
    if not isinstance(own, Mapping):
        raise ConfigError(f"recipe.overrides={own}: expected stages, each with a list of overrides")
    for key, more in own.items():
        if str(key) not in names:
            raise ConfigError(f"recipe.overrides.{key}: no such stage: {nearest(str(key), names)}")
        if not isinstance(more, list) or not all(isinstance(text, str) for text in more):
            raise ConfigError(f"recipe.overrides.{key}={more}: expected a list of overrides")
        spec = specs[names[str(key)]]
        specs[names[str(key)]] = replace(spec, overrides=(*spec.overrides, *more))
    return specs


def composed(name: str, overrides: Sequence[str]) -> dict[str, Any]:
    """Compose a primary config with these overrides; raises ConfigError where that fails."""
    return resolved(_compose(name, overrides))


def _compose(name: str, overrides: Sequence[str]) -> DictConfig:
    parsed(overrides)
    try:
        return compose(name, overrides=list(overrides))
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(explain(error)) from error
