"""Whether two run folders hold the same run, to the last bit."""

import json
from collections.abc import Iterator
from pathlib import Path

from safetensors.torch import load_file

from faults.kill import rows_of, stage_files

MEASURED = (
    "online/tokens_per_second",
    "online/seconds/draw",
    "online/seconds/judge",
    "online/seconds/all",
    "train/tokens_per_second",
    "val/tokens_per_second",
    "train/memory_mb",
)
MANIFEST = ("first_ids_sha256", "data_fingerprints", "rows")


def differences(whole: Path, run: Path) -> Iterator[str]:
    """Where a run that was killed is not the one that was not: a line each."""
    if (status := json.loads((run / "summary.json").read_text())["status"]) != "finished":
        yield f"the status is {status}"
    for pattern, same in SAME.items():
        expected = [path.relative_to(whole) for path in stage_files(whole, pattern)]
        found = [path.relative_to(run) for path in stage_files(run, pattern)]
        if expected != found:
            have, want = (", ".join(map(str, paths)) or "none" for paths in (found, expected))
            yield f"{pattern}: there is {have}, not {want}"
        yield from (
            f"{path} differs" for path in expected if path in found and not same(whole / path, run / path)
        )


def same_bytes(one: Path, other: Path) -> bool:
    """Weights."""
    return one.read_bytes() == other.read_bytes()


def same_rows(one: Path, other: Path) -> bool:
    """Metrics, but for time and memory."""
    tables = [
        [{name: value for name, value in row.items() if name not in MEASURED} for row in rows_of(path)]
        for path in (one, other)
    ]
    return tables[0] == tables[1]


def same_data(one: Path, other: Path) -> bool:
    """Rows, and the order of the first."""
    manifests = [json.loads(path.read_text()) for path in (one, other)]
    return all(manifests[0].get(name) == manifests[1].get(name) for name in MANIFEST)


def same_state(one: Path, other: Path) -> bool:
    """Every tensor of a checkpoint: weights, optimizer, objective, moving reference, random numbers.

    One of ranks that share the model is a folder with a file each.
    """
    if one.is_dir():
        names = [sorted(path.name for path in folder.iterdir()) for folder in (one, other)]
        return names[0] == names[1] and all(same_state(one / name, other / name) for name in names[0])
    first, second = load_file(one), load_file(other)
    return first.keys() == second.keys() and all(value.equal(second[name]) for name, value in first.items())


SAME = {
    "model/*model.safetensors": same_bytes,
    "rollouts/step-*.jsonl": same_bytes,
    "metrics.csv": same_rows,
    "manifest.json": same_data,
    "checkpoints/last.ckpt": same_state,
}
