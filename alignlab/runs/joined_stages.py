"""A run of several stages as a whole, put together from the folders of its stages."""

import csv
import io
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from alignlab.runs.folder import RunFolder
from alignlab.runs.record import Record

OF_A_STAGE = ("status", "steps", "model_sha256", "reference_margin", "tokens_per_second")
"""Keys of the summary of a stage that the summary of its run repeats, beside its initial and final metrics."""


def summarized(stages: Sequence[RunFolder]) -> dict[str, Any]:
    """The values of the summary of a run: initial metrics of its first stage, final and best ones of the last.

    Steps and seconds are sums over the stages; `stages` holds the numbers of each.
    """
    every = [Record(stage.path).summary for stage in stages]
    seconds: Counter[str] = Counter()
    for summary in every:
        seconds.update(summary["timings"])
    training = seconds["train"] or 1.0
    steps = [summary["steps"] for summary in every]
    best = dict(every[-1]["best"])
    if "val/step" in best:
        best["val/step"] += sum(steps[:-1])
    tokens = sum(summary["tokens_per_second"] * summary["timings"]["train"] for summary in every)
    return {
        "steps": sum(steps),
        "initial": every[0]["initial"],
        "final": every[-1]["final"],
        "best": best,
        "timings": {name: round(value, 3) for name, value in seconds.items()},
        "tokens_per_second": round(tokens / training, 1),
        "stages": [
            {"name": stage.path.name, **{key: summary.get(key) for key in (*OF_A_STAGE, "initial", "final")}}
            for stage, summary in zip(stages, every, strict=True)
        ],
    }


def joined_metrics(stages: Sequence[RunFolder]) -> str:
    """The text of metrics.csv for all stages: steps continue from stage to stage; a column counts the stages."""
    rows = list(_rows(stages))
    fields = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, fields)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _rows(stages: Sequence[RunFolder]) -> Iterator[Mapping[str, Any]]:
    done = 0
    for number, stage in enumerate(stages, start=1):
        with stage.metrics.open(newline="", encoding="utf-8") as stream:
            for row in csv.DictReader(stream):
                yield {"step": done + int(row.pop("step")), "stage": number, **row}
        done += Record(stage.path).steps


def publish(stage: RunFolder, run: RunFolder) -> None:
    """Give the run the model and samples of its last stage: the same files under a second name, where that can be."""
    partial = run.model.with_name("model.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        shutil.copytree(stage.model, partial, copy_function=os.link)
    except OSError:  # a file system without hard links
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(stage.model, partial)
    shutil.rmtree(run.model, ignore_errors=True)
    os.replace(partial, run.model)
    if (samples := stage.path / "samples.jsonl").is_file():
        run.write_text("samples.jsonl", samples.read_text(encoding="utf-8"))
