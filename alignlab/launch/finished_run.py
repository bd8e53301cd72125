"""Later work on a finished run: its first model, and its evaluation with other models."""

from pathlib import Path

from alignlab.assembly.build import call
from alignlab.config.stage_of import run_config, stage_of_model
from alignlab.errors import RunError
from alignlab.policies.causal_lm import pretrained
from alignlab.policies.causal_lm.decoder import merge
from alignlab.runs.folder import RunFolder
from alignlab.runs.record import Record
from alignlab.training.evaluate import evaluate


def start_of(run: RunFolder, place: Path) -> Path:
    """Return the folder of the model that a run began with; a model without a folder is saved to `place`."""
    _require_finished(run)
    model = run_config(run)["model"]
    if model.get("path"):
        folder = Path(pretrained.resolve(model["path"], model["loader"].get("local_copy")))
        if folder.is_dir() and not pretrained.is_adapter(str(folder)):
            return folder
    start, tokenizer = call(model["loader"], "model.loader")()
    start = merge(start)
    start.save_pretrained(place)
    tokenizer.save_pretrained(place)
    return place


def evaluated(run: RunFolder, model: Path) -> dict[str, float]:
    """Return the metrics that the run would report for another model, against the run's first reference."""
    _require_finished(run)
    return evaluate(stage_of_model(run, model))


def _require_finished(run: RunFolder) -> None:
    if not Record(run.path).finished:
        raise RunError(f"{run.path}: no finished run there")
