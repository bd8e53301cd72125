"""Entries of the cache appear whole or not at all, and no damage to one is trained on or ends a run."""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from alignlab import cache, disk
from alignlab.cache import CONTENTS, entry, problem
from alignlab.data.encoding.prepare import tokenized
from alignlab.data.encoding.tokenize import Encoder, Limits
from alignlab.data.load import load_examples
from alignlab.data.reading.examples import Report
from alignlab.data.sources.local import convert
from alignlab.data.spec import DataSpec
from alignlab.errors import RunError
from tests.data import tokenizers_ as kinds

WORDS = {"a.txt": "some words " * 50, "b.bin": "\0" * 64 + "more"}


def write(folder: Path) -> None:
    folder.mkdir()
    for name, text in WORDS.items():
        (folder / name).write_text(text)


def never(_: Path) -> None:
    raise AssertionError("the entry should have been taken as it is")


def cut(file: Path, rng: random.Random) -> None:
    file.write_bytes(file.read_bytes()[: rng.randrange(file.stat().st_size)])


def zeroed(file: Path, rng: random.Random) -> None:
    content = bytearray(file.read_bytes())
    start = rng.randrange(len(content))
    zeros = bytes(min(512, len(content) - start))
    if content[start : start + len(zeros)] == zeros:
        content[start] = 1
    else:
        content[start : start + len(zeros)] = zeros
    file.write_bytes(content)


def flipped(file: Path, rng: random.Random) -> None:
    content = bytearray(file.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    file.write_bytes(content)


def garbage(file: Path, rng: random.Random) -> None:
    file.write_bytes(rng.randbytes(file.stat().st_size))


def missing(file: Path, rng: random.Random) -> None:
    file.unlink()


def swapped(file: Path, rng: random.Random) -> None:
    file.unlink()
    file.mkdir()


def longer(file: Path, rng: random.Random) -> None:
    file.write_bytes(file.read_bytes() + b"\n")


DAMAGES: list[Callable[[Path, random.Random], None]] = [
    cut,
    zeroed,
    flipped,
    garbage,
    missing,
    swapped,
    longer,
]


def test_an_entry_is_built_once(tmp_path):
    assert problem(tmp_path / "x" / "key") == "missing"
    place = entry(tmp_path / "x" / "key", write)
    assert problem(place) is None
    assert entry(place, never) == place
    assert {name: (place / name).read_text() for name in WORDS} == WORDS


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", [*WORDS, CONTENTS])
def test_every_damage_is_mended_with_a_warning(tmp_path, caplog, damage, name):
    place = entry(tmp_path / "key", write)
    for seed in range(5):
        caplog.clear()
        damage(place / name, random.Random(seed))
        if name == CONTENTS and problem(place) is None:
            continue  # a change of form that changes nothing it says
        entry(place, write)
        assert {file: (place / file).read_text() for file in WORDS} == WORDS
        assert problem(place) is None
        (warning,) = caplog.records
        assert str(place) in warning.message


def test_a_file_or_a_link_in_its_place_is_replaced(tmp_path):
    (tmp_path / "file").write_text("no folder")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("file", "link"):
        assert problem(entry(tmp_path / name, write)) is None


def test_a_strange_file_in_it_is_told(tmp_path):
    place = entry(tmp_path / "key", write)
    (place / "stray").touch()
    assert problem(place) == "its files are not those that were written"


def test_what_was_cut_short_is_built_anew(tmp_path):
    def killed(folder: Path) -> None:
        write(folder)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        entry(tmp_path / "key", killed)
    assert not (tmp_path / "key").exists()
    assert problem(entry(tmp_path / "key", write)) is None


def test_a_large_entry_is_checked_by_its_sizes(tmp_path, monkeypatch):
    place = entry(tmp_path / "key", write)
    monkeypatch.setattr(cache, "FULL_CHECK", 10)
    monkeypatch.setattr(disk, "sha256", never)
    assert problem(place) is None
    longer(place / "a.txt", random.Random())
    assert problem(place) is not None


@pytest.fixture
def nothing_is_written(monkeypatch):
    """The cache is on a disk that is read-only."""

    def refused(*_, **__):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "mkdir", refused)
    monkeypatch.setattr(cache.FileLock, "acquire", refused)
    monkeypatch.setattr(cache.os, "replace", refused)


@pytest.mark.parametrize("state", ["missing", "damaged"])
def test_a_cache_that_cannot_be_written_is_told_with_the_key(tmp_path, request, state):
    place = tmp_path / "key"
    if state == "damaged":
        missing(entry(place, write) / "a.txt", random.Random())
    request.getfixturevalue("nothing_is_written")
    with pytest.raises(RunError, match=rf"{place} is {state}.*cache_dir="):
        entry(place, write)


def test_a_whole_entry_is_read_from_a_disk_that_is_read_only(tmp_path, request):
    place = entry(tmp_path / "key", write)
    request.getfixturevalue("nothing_is_written")
    assert entry(place, never) == place


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Rows of a file, read and tokenized: the cache that this leaves, and a function that does it again with it."""
    folder = tmp_path_factory.mktemp("prepared")
    rows = [{"prompt": f"Q{i}?", "chosen": f"Yes, {i}.", "rejected": f"No {i}"} for i in range(20)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    encoder = Encoder(kinds.byte_level())

    def read(place: Path) -> list[list[list[int]]]:
        spec = DataSpec(name="local", source=convert, path=str(folder / "rows.jsonl"))
        examples = load_examples(spec, place)
        tokens, _ = tokenized(examples.train, encoder, Limits(200), place, Report())
        return [[part.tolist() for pair in tokens.parts(i) for part in pair] for i in range(len(tokens))]

    return folder / "cache", read


def test_no_damage_to_what_was_prepared_is_read(prepared, tmp_path, caplog):
    whole, read = prepared
    expected = read(whole)
    files = [path.relative_to(whole) for path in sorted(whole.rglob("*")) if path.is_file()]
    rng = random.Random(0)
    told = 0
    for file in files:
        if file.suffix == ".lock":
            continue
        damage = rng.choice(DAMAGES)
        copy = tmp_path / "copy"
        shutil.copytree(whole, copy)
        if not (copy / file).stat().st_size:
            damage = missing
        damage(copy / file, rng)
        caplog.clear()
        assert read(copy) == expected, (file, damage)
        told += any("is damaged" in record.message for record in caplog.records)
        shutil.rmtree(copy)
    assert told > len(files) / 3
