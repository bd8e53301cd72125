"""How much memory this process may still take, as far as the system says."""

import sys
from pathlib import Path

SYSTEM, GROUP = Path("/proc/meminfo"), Path("/sys/fs/cgroup")


def free_memory() -> int:
    """Return the bytes of memory that are free: of the machine, or of the container where that has fewer.

    Where the system does not say, it is `sys.maxsize`.
    """
    try:
        lines = SYSTEM.read_text(encoding="ascii").splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return sys.maxsize
    try:
        most = int((GROUP / "memory.max").read_text(encoding="ascii"))
        taken = int((GROUP / "memory.current").read_text(encoding="ascii"))
        facts = (line.split() for line in (GROUP / "memory.stat").read_text(encoding="ascii").splitlines())
        given_back = next(int(value) for name, value in facts if name == "file")  # kept files, which give way
    except (OSError, ValueError, StopIteration):  # no container, or one without a limit
        return free
    return min(free, most - taken + given_back)
