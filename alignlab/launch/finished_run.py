"""A finished run, taken up again: its first model, and its evaluation on other models."""

from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from alignlab.config.build import build_stage, call
from alignlab.config.stage_configs import model_at
from alignlab.errors import RunError
from alignlab.policies.causal_lm import pretrained
from alignlab.runs.folder import RunFolder
from alignlab.training.evaluate import evaluate


def config_of(run: RunFolder) -> dict[str, Any]:
    """The config of a finished run; RunError where the folder holds none."""
    if run.read_json("summary.json").get("status") != "finished":
        raise RunError(f"{run.path}: no finished run there")
    made: Any = OmegaConf.to_container(OmegaConf.load(run.path / "config.yaml"))
    return made


def start_of(run: RunFolder, place: Path) -> Path:
    """A folder with the model that a run began with: where it is, or else saved to `place`."""
    model = config_of(run)["model"]
    if model.get("path"):
        known = Path(pretrained.resolve(model["path"], model["loader"].get("local_copy")))
        if known.is_dir():
            return known
    loaded, tokenizer = call(model["loader"], "model.loader")()
    loaded.save_pretrained(place)
    tokenizer.save_pretrained(place)
    return place


def evaluated(run: RunFolder, model: Path) -> dict[str, float]:
    """Metrics of another model as the run reports its own, against the reference that the run began with."""
    config = config_of(run)
    reference = {**config["reference"], "of": "base", "update": "none"}
    other = {
        **config,
        "model": model_at(config["model"], model),
        "reference": reference,
        "peft": {"method": "none"},
    }
    return evaluate(build_stage(other, run, {"name": "", "group": ""}, initial=config["model"]))
