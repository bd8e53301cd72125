"""Hashes of files are remembered while the files are what they were, and no longer."""

import hashlib
import os
from pathlib import Path

import pytest

from alignlab import file_digests
from alignlab.file_digests import SETTLED, file_digest


def sha(text):
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture
def file(tmp_path, monkeypatch):
    """A file that is not of this very moment."""
    file = tmp_path / "model.safetensors"
    file.write_text("weights")
    monkeypatch.setattr(file_digests.time, "time", lambda: file.stat().st_ctime + 2 * SETTLED)
    return file


@pytest.fixture
def reads(monkeypatch):
    """The files that were hashed."""
    reads, hashed = [], hashlib.file_digest
    monkeypatch.setattr(
        hashlib, "file_digest", lambda stream, name: reads.append(stream) or hashed(stream, name)
    )
    return reads


def test_a_file_is_hashed_once(file, reads, tmp_path):
    memory = tmp_path / "cache/digests"
    assert [file_digest(file, memory) for _ in range(3)] == [sha("weights")] * 3
    assert len(reads) == 1
    assert file_digest(file) == sha("weights")
    assert len(reads) == 2


def rewritten_with_its_old_time(file):
    status = file.stat()
    file.write_text("WEIGHTS")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


def replaced(file):
    status = file.stat()
    other = file.with_name("other")
    other.write_text("WEIGHTS")
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    os.replace(other, file)


@pytest.mark.parametrize("change", [rewritten_with_its_old_time, replaced])
def test_a_file_that_changed_is_hashed_anew(file, tmp_path, change):
    assert file_digest(file, tmp_path / "digests") == sha("weights")
    change(file)
    assert file_digest(file, tmp_path / "digests") == sha("WEIGHTS")


def test_a_file_of_this_moment_is_not_remembered(file, reads, tmp_path, monkeypatch):
    monkeypatch.undo()
    file_digest(file, tmp_path / "digests")
    assert not (tmp_path / "digests").exists()


@pytest.mark.parametrize(
    "damage", [lambda text: text[:-1], lambda text: "0" + text[1:], lambda _: "", lambda _: "é"]
)
def test_damage_to_what_is_remembered_is_not_believed(file, tmp_path, damage):
    memory = tmp_path / "digests"
    file_digest(file, memory)
    (line,) = memory.iterdir()
    line.write_text(damage(line.read_text()))
    assert file_digest(file, memory) == sha("weights")


def test_a_memory_that_cannot_be_written_is_none(file, tmp_path, monkeypatch):
    def refused(*_, **__):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "mkdir", refused)
    assert file_digest(file, tmp_path / "digests") == sha("weights")


def test_what_cannot_be_put_in_place_leaves_nothing(file, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    assert file_digest(file, tmp_path / "digests") == sha("weights")
    assert not [*(tmp_path / "digests").iterdir()]
