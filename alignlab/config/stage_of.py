"""A stage from override strings or from the folder of a run: composed, checked and built, with nothing loaded yet."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hydra import initialize_config_dir

from alignlab.assembly.build import build_stage
from alignlab.assembly.check import HEADED, check
from alignlab.assembly.schema import GROUPS
from alignlab.config import resolvers
from alignlab.config.mixture import with_parts
from alignlab.config.model_words import scores_of_its_own, with_model_folder
from alignlab.config.stage_configs import combined, composed, model_at
from alignlab.errors import ConfigError, RunError
from alignlab.hub import is_id
from alignlab.places import CONF
from alignlab.runs.folder import RunFolder
from alignlab.runs.overrides import key_of
from alignlab.runs.record import Record
from alignlab.runs.trust import require_trusted
from alignlab.training.spec import Stage

Config = dict[str, Any]
LANGUAGE_MODEL = "alignlab.policies.causal_lm.model.CausalLM"
"""The policy of old runs, which were made before there was a choice."""
FITTED = {"user": "all", "gate": "attributes"}
"""What stands for a `policy.fit` where the trained model, which holds what was fitted, is scored."""
UNNAMED = {"name": "", "group": ""}
"""The names for trackers of a stage that logs nothing."""


def stage_of(overrides: Sequence[str]) -> Stage:
    """Return the stage that `train.py` with these overrides would run; raises the same ConfigError."""
    config = train_config(overrides)
    check(with_parts(config))
    return build_stage(with_parts(config), RunFolder(Path(config["output_dir"])), UNNAMED)


def stage_of_run(run: RunFolder, overrides: Sequence[str] = ()) -> Stage:
    """Return the stage of a run as it began, with its first model, changed by the overrides."""
    config = run_config(run, overrides)
    if overrides:
        check(with_parts(config))
    return build_stage(with_parts(config), run, UNNAMED)


def stage_of_model(run: RunFolder, model: Path) -> Stage:
    """Return the stage of a run with another model in the place of the trained one, against the run's reference."""
    config = run_config(run)
    return build_stage(with_parts(_with_model(config, model)), run, UNNAMED, initial=_start(run, config))


def stage_to_score(overrides: Sequence[str], run: RunFolder | None = None) -> Stage:
    """Return the stage whose rows are scored; its `reference.mode` is live, or none without a reference.

    With a run: the run's data, changed by the overrides, its trained model, and the reference that it was trained
    against (`reference=precomputed` gives one to a run that took none: its start).
    Without: the data and the model of the overrides, and a reference only where `reference.path` names another model.
    """
    if run is None:
        config = train_config(with_model_folder(overrides))
        _require_head(config)
        mode = config["reference"]["mode"]
        config["reference"] = {**config["reference"], "mode": "auto"}
        folder, start = RunFolder(Path(config["output_dir"])), None
    else:
        saved = run_config(run, overrides)
        mode, folder, start = saved["reference"]["mode"], run, _start(run, saved)
        config = _with_model(saved, run.model)
        config["evaluation"] = {**config["evaluation"], "reward": None}
        if (fit := config["policy"].get("fit")) in FITTED:
            config["policy"] = {**config["policy"], "fit": FITTED[fit]}
    check(with_parts(config))
    stage = build_stage(with_parts(config), folder, UNNAMED, initial=start)
    wanted = mode != "none"
    if run is None:
        wanted = wanted and not stage.reference.is_start
    elif mode == "auto":
        wanted = stage.objective.needs_reference
    reference = replace(stage.reference, mode="live" if wanted else "none")
    return replace(stage, reference=reference, row_problems=lambda rows: ())  # these are of training rows


def _require_head(config: Config) -> None:
    """Raise ConfigError where a policy scores with a head of its own, and the model has none that was trained."""
    target, path = str(config["policy"].get("_target_", "")), config["model"].get("path")
    if target not in HEADED or (
        isinstance(path, str) and is_id(path)
    ):  # a model of the hub shows when it is loaded
        return
    if path is None or not scores_of_its_own(Path(path).expanduser()):
        raise ConfigError(
            f"policy={HEADED[target]} scores responses with a head of its own, and "
            f"{'model=' + config['model']['name'] if path is None else path} is a language model without one, whose "
            "scores would be those of random weights: give the model/ of a reward model (model=/its/folder), or leave "
            "out policy= for the implicit rewards of a language model"
        )


def trained_run(folder: Path, trusted: Sequence[str] = ()) -> RunFolder:
    """Return the run in a folder, with the packages that its config may name; RunError where it has no model."""
    run = RunFolder(folder.expanduser(), trusted=tuple(trusted))
    if not (run.path / "config.yaml").is_file():
        raise RunError(f"run={folder}: no run folder there (it has no config.yaml)")
    if not run.model.is_dir():
        raise RunError(f"run={folder}: the run has no model/ yet; go on with it by resume=auto")
    return run


def train_config(overrides: Sequence[str]) -> Config:
    """Compose the config of `train.py` with these overrides, not checked yet."""
    resolvers.register()
    with initialize_config_dir(str(CONF), version_base=None):
        return composed("train", [*overrides, "run_name=inspect"])


def run_config(run: RunFolder, overrides: Sequence[str] = ()) -> Config:
    """Return the config of a run, or of one of its stages, changed by the overrides.

    Only the groups that they name are composed anew, so that `data=...` brings no model of its own.
    Raises ConfigError where the folder has no config of a run, or its files name code that is not trusted.
    """
    saved = _config_in(run.path, run.trusted)
    if not overrides:
        return saved
    begun = list(Record(run.path).overrides)
    if _in_stages(run):
        begun = combined(Record(run.path.parents[1]).overrides, begun)
    named = {*map(_group, overrides), "experiment"}
    remaining = [text for text in begun if _group(text) in named or _group(text) not in GROUPS]
    folders = Record(run.path).manifest.get("searchpath", ())
    searched = [text for text in folders if text.startswith("hydra.searchpath=")]
    require_trusted(train_config([*searched, *remaining]), run.path / "manifest.json", run.trusted)
    changed = train_config([*searched, *combined(remaining, overrides)])
    return {**saved, **{key: value for key, value in changed.items() if key in named or key not in saved}}


def _with_model(config: Config, model: Path) -> Config:
    """Return the config with another model, whole and fixed, against the reference that the run began with."""
    return {
        **config,
        "model": model_at(config["model"], model),
        "reference": {**config["reference"], "mode": "auto", "of": "base", "update": "none"},
        "peft": {"method": "none"},
    }


def _start(run: RunFolder, config: Config) -> Config:
    """Return the settings of the model that is a run's reference where `reference.path` names none."""
    if _in_stages(run) and config["reference"]["of"] == "base":
        start: Config = _config_in(run.path.parents[1], run.trusted)["model"]
        return start
    model: Config = config["model"]
    return model


def _in_stages(run: RunFolder) -> bool:
    """Whether the folder is that of one stage of a run with several."""
    return run.path.parent.name == "stages"


def _group(override: str) -> str:
    """Return the group that an override chooses or changes.

    >>> [_group(text) for text in ("data=lab", "+data.path=/x", "model@other=tiny")]
    ['data', 'data', 'model']
    """
    return key_of(override).partition(".")[0].partition("@")[0]


def _config_in(folder: Path, trusted: Sequence[str]) -> Config:
    config = Record(folder).config
    if not config:
        raise ConfigError(f"run={folder}: no run folder (it has no config.yaml)")
    if not isinstance(config, dict) or "model" not in config:
        raise ConfigError(f"{folder / 'config.yaml'}: this is no config of a run")
    require_trusted(config, folder / "config.yaml", trusted)
    before = {"policy": {"_target_": LANGUAGE_MODEL, "packing": config["model"].get("packing", "auto")}}
    reference = dict(config.get("reference", {}))
    if "second" in reference:  # as runs that were made before others could be several
        second = reference.pop("second")
        config = {**config, "reference": {**reference, "others": [] if second is None else [second]}}
    return {**before, **config}
