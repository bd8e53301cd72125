"""The free memory is that of the machine, or of the container where that has less."""

import sys

import pytest

from alignlab import free_memory as module
from alignlab.free_memory import free_memory


@pytest.fixture
def system(tmp_path, monkeypatch):
    """A machine with 4 GB free, and a container whose files a test writes."""
    (tmp_path / "meminfo").write_text("MemTotal:  9000000 kB\nMemAvailable:    4194304 kB\n")
    monkeypatch.setattr(module, "SYSTEM", tmp_path / "meminfo")
    monkeypatch.setattr(module, "GROUP", tmp_path)
    return tmp_path


def contained(folder, most):
    (folder / "memory.max").write_text(f"{most}\n")
    (folder / "memory.current").write_text(f"{2**30}\n")
    (folder / "memory.stat").write_text(f"anon 1\nfile {2**29}\n")


def test_of_a_machine(system):
    assert free_memory() == 2**32
    contained(system, "max")
    assert free_memory() == 2**32


def test_of_a_container(system):
    contained(system, 2 * 2**30)
    assert free_memory() == 2**30 + 2**29
    contained(system, 2**40)
    assert free_memory() == 2**32


def test_where_the_system_does_not_say(system):
    (system / "meminfo").unlink()
    assert free_memory() == sys.maxsize
