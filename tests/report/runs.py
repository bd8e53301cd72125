"""Run folders as a training leaves them, made up."""

import csv
import json
from pathlib import Path
from typing import Any

import yaml


def make_run(
    folder: Path,
    *,
    metrics: dict[str, list[float]] | None = None,
    final: dict[str, float] | None = None,
    initial: dict[str, float] | None = None,
    config: dict[str, Any] | None = None,
    overrides: tuple[str, ...] = (),
    samples: tuple[dict[str, Any], ...] = (),
    manifest: dict[str, Any] | None = None,
    **summary: Any,
) -> Path:
    """`metrics` are columns over steps 0, 1, ...; NaN is an empty cell."""
    folder.mkdir(parents=True)
    metrics = metrics or {"train/loss": [0.7, 0.6, 0.5], "val/loss": [0.69, 0.6, 0.55]}
    with (folder / "metrics.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["step", *metrics])
        for step, values in enumerate(zip(*metrics.values(), strict=True)):
            writer.writerow([step, *("" if value != value else value for value in values)])
    steps = len(next(iter(metrics.values()))) - 1
    told = {"status": "finished", "objective": "dpo", "data": "lab", "steps": steps}
    told |= {"initial": initial or {}, "final": final or {}, "best": {}, "timings": {"total": 3.0}, **summary}
    (folder / "summary.json").write_text(json.dumps(told))
    config = {"seed": 0, "objective": {"name": "dpo"}, **(config or {})}
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    (folder / "overrides.txt").write_text("".join(f"{text}\n" for text in overrides))
    (folder / "manifest.json").write_text(json.dumps({"overrides": overrides, **(manifest or {})}))
    if samples:
        (folder / "samples.jsonl").write_text("".join(json.dumps(sample) + "\n" for sample in samples))
    return folder


def make_sweep(folder: Path, values: dict[str, dict[int, dict[str, float]]]) -> Path:
    """A sweep over objectives and seeds; `values` are final metrics by objective and seed."""
    job = 0
    for objective, seeds in values.items():
        for seed, final in seeds.items():
            make_run(
                folder / str(job),
                final=final,
                initial=dict.fromkeys(final, 0.0),
                objective=objective,
                config={"seed": seed, "objective": {"name": objective}, "data": {"seed": seed}},
                overrides=(f"objective={objective}", f"seed={seed}", "trainer.max_steps=2"),
            )
            job += 1
    return folder
