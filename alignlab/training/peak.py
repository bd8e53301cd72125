"""The most memory that this process has held so far."""

import re
import resource
import sys
from pathlib import Path

import torch

MEBIBYTE = 2**20
RESIDENT_UNIT = 1 if sys.platform == "darwin" else 1024
"""Bytes that `ru_maxrss` counts in."""


def peaks(device: torch.device) -> dict[str, float]:
    """`memory_mb` (resident memory of the process, MiB) and, on a GPU, `gpu_memory_mb` (of tensors, MiB)."""
    memory = {"memory_mb": peak_memory()}
    if device.type == "cuda":
        memory["gpu_memory_mb"] = torch.cuda.max_memory_allocated(device) / MEBIBYTE
    return memory


def peak_memory() -> float:
    """The most resident memory that this process ever held, in MiB.

    Where the system tells, it is that of the process alone; `ru_maxrss` has that of the parent at its start in it.
    """
    status = Path("/proc/self/status")
    if status.is_file() and (peak := re.search(r"VmHWM:\s+(\d+) kB", status.read_text())):
        return int(peak[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RESIDENT_UNIT / MEBIBYTE
