"""Data that a stage makes for itself: its model is asked, and what comes back is kept as files and read as such."""

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from alignlab import ranks
from alignlab.data.load import load_examples
from alignlab.data.sources import local
from alignlab.data.spec import SPLITS, DataSpec
from alignlab.errors import DataError
from alignlab.runs.folder import RunFolder
from alignlab.training.opened import Opened, first_prompts
from alignlab.training.rows import check_lists, tokenize

log = logging.getLogger(__name__)


def collected(opened: Opened, folder: RunFolder) -> Opened:
    """The stage with the rows that `stage.collect` makes of the prompts of both splits; their account joins its own.

    It is called once a split, `collect(model, tokenizer, prompts, split=..., seed=...)`, and gives
    examples, which are kept in `collected/<split>.jsonl` of the stage's folder: a resumed stage reads
    these. Raises DataError where it gives none.
    """
    with opened.clock.timed("reference"), opened.place.autocast():
        for split in SPLITS:
            file = folder.path / "collected" / f"{split}.jsonl"
            if folder.writes and not file.is_file():
                _collect(opened, folder, split)
        ranks.barrier()
        stage = replace(opened.stage, data=read_back(opened.stage.data, folder.path / "collected"))
        examples = load_examples(stage.data, stage.cache_dir)
        check_lists(stage.objective, examples, stage.data)
        splits = tokenize(stage, examples, opened.encoder, opened.model)
    account = examples.report.to_json()
    steps = {f"collected, {name}": counts for name, counts in account["steps"].items()}
    opened.report.add({**account, "steps": steps})
    return replace(opened, splits=splits)


def read_back(data: DataSpec, folder: Path) -> DataSpec:
    """What was collected, as data=local would read it."""
    return replace(
        data,
        source=local.convert,
        path=str(folder),
        hub=None,
        split=None,
        columns=None,
        ignored=[],
        group_by=None,
        steps={},
        parts={},
        mix=None,
        form=None,
        scale=None,
    )


def _collect(opened: Opened, folder: RunFolder, split: str) -> None:
    stage, rows = opened.stage, getattr(opened.splits, split)
    assert stage.collect is not None
    prompts = first_prompts(rows, len(rows))
    opened.model.eval()
    examples = stage.collect(opened.model, opened.tokenizer, prompts, split=split, seed=stage.seed)
    lines: list[Mapping[str, Any]] = [asdict(example) for example in examples]
    if not lines:
        raise DataError(
            f"recipe.collect gave no examples for the {len(prompts)} {split} prompts of {folder.path.name}"
        )
    folder.write_text(f"collected/{split}.jsonl", "".join(f"{json.dumps(line)}\n" for line in lines))
    log.info("collected for %s: %d examples from %d prompts", split, len(lines), len(prompts))
