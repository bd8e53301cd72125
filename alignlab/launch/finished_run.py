"""A finished run, taken up again: its first model, and its evaluation on other models."""

from pathlib import Path

from alignlab.assembly.build import call
from alignlab.config.stage_of import run_config, stage_of_model
from alignlab.errors import RunError
from alignlab.policies.causal_lm import pretrained
from alignlab.runs.folder import RunFolder
from alignlab.runs.record import Record
from alignlab.training.evaluate import evaluate


def start_of(run: RunFolder, place: Path) -> Path:
    """A folder with the model that a run began with: where it is, or else saved to `place`."""
    _require_finished(run)
    model = run_config(run)["model"]
    if model.get("path"):
        folder = Path(pretrained.resolve(model["path"], model["loader"].get("local_copy")))
        if folder.is_dir():
            return folder
    start, tokenizer = call(model["loader"], "model.loader")()
    start.save_pretrained(place)
    tokenizer.save_pretrained(place)
    return place


def evaluated(run: RunFolder, model: Path) -> dict[str, float]:
    """Metrics of another model as the run reports its own, against the reference that the run began with."""
    _require_finished(run)
    return evaluate(stage_of_model(run, model))


def _require_finished(run: RunFolder) -> None:
    if not Record(run.path).finished:
        raise RunError(f"{run.path}: no finished run there")
