"""Compares what a run reads with what it was begun with: the files of its models, and the rows of its stages."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from alignlab.config.stage_configs import WORDS, Planned
from alignlab.data.tables.identity import digest
from alignlab.policies.causal_lm import pretrained
from alignlab.policies.causal_lm.model_files import model_files
from alignlab.runs.inputs import MODEL_FILES, REFERENCE_FILES, ROWS, Inputs
from alignlab.settings import Config

ROWS_FROM = (ROWS, "data", "pipeline", "model", "policy", "objective", "recipe", "seed", "reference")
"""The keys of which any in `resume.allow` lets the rows of a stage differ, since rows follow from them."""


def note_models(inputs: Inputs, plan: Sequence[Planned], cache_dir: Path | None = None) -> None:
    """Keep or compare the files of every model that the stages start from or refer to.

    They are compared before any is loaded. Where nothing is there to compare with, they are hashed beside the loading.
    The hashes of files that did not change come from the cache. Raises RunError where one of them changed.
    """
    note = partial(_note, inputs, None if cache_dir is None else cache_dir / "digests")
    for stage in plan:
        loader, reference = stage.config["model"]["loader"], stage.config["reference"]
        revision = loader.get("revision")
        if path := loader.get("path"):
            source = pretrained.resolve(path, loader.get("local_copy"))
            note(source, revision, (MODEL_FILES, REFERENCE_FILES))
        others = (reference["path"], *reference["others"], stage.spec.init, stage.spec.reference)
        for path in others:
            if path and path not in (*WORDS, "ema"):
                note(pretrained.resolve(path), revision, (REFERENCE_FILES, MODEL_FILES))


def noting_rows(inputs: Inputs, stage: str, data: Config) -> Callable[[str, Mapping[str, str]], None]:
    """Return a function that keeps or compares fingerprints of the rows of a stage (empty: the one of a plain run).

    It is called with "rows" after the text steps of the pipeline, "data" before them, and "tokens" at last. The rows
    of a stage that was begun are compared after its pipeline alone, so that rows beyond `data.limit` may be added;
    before it, only with those that earlier stages read.
    """
    of = f" of stage {stage}" if stage else ""
    begun = inputs.knows(f"rows{of}")

    def note(name: str, parts: Mapping[str, str]) -> None:
        if name == "data":
            if not begun:
                key = f"data {data['name']} {digest(data)}"
                inputs.note(key, f"the data '{data['name']}'", parts, (ROWS, "data"))
            return
        if name == "tokens":  # all is loaded, and nothing trained
            inputs.settle()
        what = "rows" if name == "rows" else "rows as tokens"
        inputs.note(f"{name}{of}", f"the data '{data['name']}' ({what}{of})", parts, ROWS_FROM)

    return note


def _note(
    inputs: Inputs, memory: Path | None, source: str, revision: str | None, allowed_by: Sequence[str]
) -> None:
    key, what = f"model {source}", f"the model {source}"
    hashed = partial(model_files, source, revision, memory)
    if Path(source).expanduser().is_dir() and not inputs.knows(key):
        inputs.note_later(key, what, hashed, allowed_by)
    elif files := hashed():
        inputs.note(key, what, files, allowed_by)
