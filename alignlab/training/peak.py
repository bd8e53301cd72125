"""The most memory that this process has held so far."""

import resource
import sys

import torch

MEGABYTE = 2**20
RESIDENT_UNIT = 1 if sys.platform == "darwin" else 1024
"""Bytes that the system counts resident memory in."""


def peak_memory(device: torch.device) -> dict[str, float]:
    """`memory_mb` (resident memory of the process, MiB) and, on a GPU, `gpu_memory_mb` (of tensors)."""
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RESIDENT_UNIT
    found = {"memory_mb": resident / MEGABYTE}
    if device.type == "cuda":
        found["gpu_memory_mb"] = torch.cuda.max_memory_allocated(device) / MEGABYTE
    return found
