"""Checks between the stages of a run: the model before is unchanged, and no row is trained on twice."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from alignlab import disk
from alignlab.errors import RunError
from alignlab.runs.folder import RunFolder

ROWS = "row_ids.npy"


def model_hash(model: Path) -> str:
    """Return the SHA-256 over names and bytes of the safetensors files in a folder."""
    digest = hashlib.sha256()
    for file in sorted(model.glob("*.safetensors")):
        digest.update(file.name.encode())
        digest.update(bytes.fromhex(disk.sha256(file)))
    return digest.hexdigest()


def check_unchanged(stage: RunFolder) -> str:
    """Return the hash of a finished stage's model; raises RunError where it is not the model that the stage wrote."""
    digest, known = model_hash(stage.model), stage.read_json("summary.json").get("model_sha256")
    if digest != known:
        raise RunError(
            f"{stage.model} is not the model that its stage came to (SHA-256 {digest[:12]}, then {str(known)[:12]}): "
            f"delete {stage.path} and what follows it, and start again with resume=auto"
        )
    return digest


def check_own_rows(ids: Sequence[str], folder: RunFolder, before: Sequence[RunFolder]) -> None:
    """Save the hashes of a stage's rows; raises RunError where an earlier stage was trained on one of them."""
    mine = np.array([_short(row) for row in ids], dtype=np.uint64)
    for other in before:
        file = other.path / ROWS
        taken = np.isin(mine, np.load(file)) if file.is_file() else np.zeros(0, dtype=bool)
        if taken.any():
            raise RunError(
                f"row {ids[int(taken.argmax())]} of stage {folder.path.name} was trained on in {other.path.name}: "
                "each row belongs to one stage; look at the pipeline's overrides of these stages"
            )
    if folder.writes:
        np.save(folder.path / ROWS, mine)


def _short(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())
