"""The facts by which a run can be understood, and made again, later: versions, code, command, hardware."""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("alignlab", "torch", "lightning", "transformers", "tokenizers", "datasets", "hydra-core", "numpy")


def environment() -> dict[str, Any]:
    """The versions, the code, the command, the folder where it was given, and the hardware of this process."""
    import torch

    return {
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
        "git": commit(),
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "working_directory": str(Path.cwd()),
        "hardware": {
            "machine": platform.machine(),
            "cpu_count": os.cpu_count(),
            "torch_threads": torch.get_num_threads(),
            "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        },
    }


def other_threads(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Return what to tell of a run that goes on with another number of threads than it began with; empty if equal.

    >>> other_threads({"hardware": {"torch_threads": 2}}, {"hardware": {"torch_threads": 2}})
    ''
    """
    was, here = ((facts.get("hardware") or {}).get("torch_threads") for facts in (before, now))
    if was is None or was == here:
        return ""
    return (
        f"the run was begun with {was} threads and goes on with {here}: sums are rounded in another order, so that it "
        f"does not end bit-equal to a run that nobody stopped; OMP_NUM_THREADS={was} goes on as it began"
    )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def commit() -> dict[str, Any] | None:
    """The commit of the checkout that alignlab runs from, and whether the code was changed since; None if unknown.

    A snapshot of the code has it written down in `commit.json`.
    """
    here = Path(__file__).parent
    if (noted := here.parent / "commit.json").is_file():
        return json.loads(noted.read_text(encoding="utf-8"))

    def ask(*arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=here, capture_output=True, text=True, check=True, timeout=10
        )
        return done.stdout.strip()

    try:
        return {"commit": ask("rev-parse", "HEAD"), "dirty": bool(ask("status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return None
