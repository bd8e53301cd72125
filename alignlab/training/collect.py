"""Data that a stage makes for itself: its model is asked, and what comes back is kept as files and read as such."""

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from alignlab import ranks
from alignlab.data.encoding.tokenize import Encoder
from alignlab.data.load import load_examples
from alignlab.data.reading.examples import Report
from alignlab.data.sources import local
from alignlab.data.spec import SPLITS, DataSpec
from alignlab.errors import DataError
from alignlab.runs.folder import RunFolder
from alignlab.training.rows import Splits, check_lists, tokenize
from alignlab.training.spec import Stage

log = logging.getLogger(__name__)


def collected(
    stage: Stage, folder: RunFolder, splits: Splits, encoder: Encoder, model: Any, report: Report
) -> Splits:
    """The rows that `stage.collect` makes of the prompts of both splits; the account of them joins `report`.

    It is called once a split, `collect(model, tokenizer, prompts, split=..., seed=...)`, and gives
    examples, which are kept in `collected/<split>.jsonl` of the stage's folder: a resumed stage reads
    these. Raises DataError where it gives none.
    """
    for split in SPLITS:
        file = folder.path / "collected" / f"{split}.jsonl"
        if folder.writes and not file.is_file():
            _collect(stage, folder, split, getattr(splits, split), encoder.tokenizer, model)
    ranks.barrier()
    data = read_back(stage.data, folder.path / "collected")
    examples = load_examples(data, stage.cache_dir)
    check_lists(stage.objective, examples, data)
    made = tokenize(stage, examples, encoder, model)
    told = examples.report.to_json()
    report.add({**told, "steps": {f"collected, {name}": counts for name, counts in told["steps"].items()}})
    return made


def read_back(data: DataSpec, folder: Path) -> DataSpec:
    """What was collected, as data=local would read it."""
    return replace(
        data, source=local.convert, path=str(folder), hub=None, steps={}, parts={}, mix=None, form=None
    )


def _collect(stage: Stage, folder: RunFolder, split: str, rows: Any, tokenizer: Any, model: Any) -> None:
    assert stage.collect is not None
    prompts = [rows.messages(i) for i in range(len(rows))]
    model.eval()
    made = stage.collect(model, tokenizer, prompts, split=split, seed=stage.seed)
    lines: list[Mapping[str, Any]] = [asdict(example) for example in made]
    if not lines:
        raise DataError(
            f"recipe.collect gave no examples for the {len(prompts)} {split} prompts of {folder.path.name}"
        )
    folder.write_text(f"collected/{split}.jsonl", "".join(f"{json.dumps(line)}\n" for line in lines))
    log.info("collected for %s: %d examples from %d prompts", split, len(lines), len(prompts))
