"""The data of a run, as a model will see it, without running anything."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra import initialize_config_dir
from transformers.utils.logging import disable_progress_bar

from alignlab.config import resolvers
from alignlab.config import stage_configs as plan
from alignlab.config.build import build_stage
from alignlab.config.check import check
from alignlab.data.reading.examples import Report
from alignlab.places import CONF
from alignlab.runs.folder import RunFolder
from alignlab.training.opened import open_rows
from alignlab.training.rows import Splits


@dataclass(frozen=True)
class Inspected:
    """Rows of both splits after the pipeline, with the tokenizer that made them and the account of all rows."""

    name: str
    splits: Splits
    tokenizer: Any
    report: Report


@contextmanager
def quiet() -> Iterator[None]:
    """No progress and no reports of the libraries meanwhile: a script tells its own."""
    disable_progress_bar()  # type: ignore[no-untyped-call]
    ours = logging.getLogger("alignlab")
    level = ours.level
    ours.setLevel(logging.WARNING)
    try:
        yield
    finally:
        ours.setLevel(level)


@quiet()
def inspect(overrides: Sequence[str]) -> Inspected:
    """The rows that `train.py` with these overrides would train on. Raises what it would raise."""
    config = composed(overrides)
    check(config)
    stage = build_stage(config, RunFolder(Path(config["output_dir"])), {"name": "", "group": ""})
    opened = open_rows(stage)
    steps = "-".join(config["pipeline"])
    name = f"{config['data']['name']}{'-' if steps else ''}{steps}"
    return Inspected(name, opened.splits, opened.tokenizer, opened.report)


def composed(overrides: Sequence[str]) -> dict[str, Any]:
    """The config of `train.py` with these overrides, not checked yet."""
    resolvers.register()
    with initialize_config_dir(str(CONF), version_base=None):
        return plan.composed("train", [*overrides, "run_name=inspect"])
