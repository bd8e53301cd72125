"""What lies at a path, and what is said where nothing there can be read."""

import pytest
from datasets import Dataset, DatasetDict, load_from_disk

from alignlab.data.reading.data_files import data_files
from alignlab.data.reading.files import read
from alignlab.data.reading.rows import Origin
from alignlab.errors import DataError

ROWS = [{"prompt": f"p{i}", "chosen": f"c{i}"} for i in range(20)]


def rows_of(path):
    return [row for _, row in read(data_files(str(path)).sources)]


def test_paths_without_data(tmp_path, monkeypatch):
    with pytest.raises(DataError, match=r"data.path=.*/none: no such file or folder"):
        data_files(str(tmp_path / "none"))
    for path, way_out in (
        ("a-*.jsonl", "a pattern is not expanded"),
        ("owner/prefs", "hf download owner/prefs"),
    ):
        with pytest.raises(DataError, match=f"no such file or folder; .*{way_out}"):
            data_files(path)
    (tmp_path / "notes.txt").touch()
    for path in (tmp_path, tmp_path / "notes.txt"):
        with pytest.raises(DataError, match="no data files there"):
            data_files(str(path))
    (tmp_path / "a.jsonl").touch()
    monkeypatch.setenv("HOME", str(tmp_path))
    assert data_files("~/a.jsonl").sources == [tmp_path / "a.jsonl"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a.zip", "a.zip.*unpack it"),
        ("a.jsonl.zst", "zst.*unpack it"),
        ("a.tar.gz", "a.tar.gz.*unpack it"),
        ("a.xlsx", "save the sheet as csv"),
        (".a.jsonl", r"\.a\.jsonl \(hidden\)"),
        (None, "the folder is empty"),
    ],
)
def test_what_lies_there_instead_is_told(tmp_path, name, said):
    if name:
        (tmp_path / name).touch()
    with pytest.raises(DataError, match=said):
        data_files(str(tmp_path))
    if name and not name.startswith("."):
        with pytest.raises(DataError, match=r"unpack it|save the sheet"):
            data_files(str(tmp_path / name))


def test_several_paths(tmp_path):
    for name in ("x/a.jsonl", "y/a.jsonl"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    found = data_files([str(tmp_path / "y/a.jsonl"), str(tmp_path / "x")])
    assert found.sources == [tmp_path / "y/a.jsonl", tmp_path / "x/a.jsonl"]
    assert found.root == tmp_path
    with pytest.raises(DataError, match=r"x/a\.jsonl is named twice"):
        data_files([str(tmp_path / "x"), str(tmp_path / "x/a.jsonl")])


def test_links_to_folders_are_followed(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/a.jsonl").touch()
    (tmp_path / "data").mkdir()
    (tmp_path / "data/train").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data/train/up").symlink_to(tmp_path / "data")
    assert data_files(str(tmp_path / "data")).sources == [tmp_path / "data/train/a.jsonl"]


def test_a_saved_dataset_is_read_as_it_was_saved(tmp_path):
    Dataset.from_list(ROWS).save_to_disk(str(tmp_path / "d"))
    load_from_disk(str(tmp_path / "d")).map(lambda row: {"chosen": row["chosen"].upper()})
    assert len(list((tmp_path / "d").glob("*.arrow"))) == 2  # the second is the cache of map
    assert rows_of(tmp_path / "d") == rows_of(tmp_path) == ROWS
    places = [origin for origin, _ in read([tmp_path / "d"])]
    assert places[:2] == [Origin(str(tmp_path / "d"), 1), Origin(str(tmp_path / "d"), 2)]


def test_a_dataset_that_was_shuffled_keeps_its_order(tmp_path):
    Dataset.from_list(ROWS).save_to_disk(str(tmp_path / "d"))
    shuffled = load_from_disk(str(tmp_path / "d")).shuffle(seed=1)
    shuffled.save_to_disk(str(tmp_path / "e"))
    assert rows_of(tmp_path / "d") == ROWS
    assert rows_of(tmp_path / "e") == list(shuffled) != ROWS


def test_splits_of_a_saved_dataset_are_folders(tmp_path):
    dataset = Dataset.from_list(ROWS)
    DatasetDict(train=dataset, test=dataset.select([0])).save_to_disk(str(tmp_path / "d"))
    assert data_files(str(tmp_path)).sources == [tmp_path / "d/test", tmp_path / "d/train"]


def test_a_damaged_dataset_is_told(tmp_path):
    Dataset.from_list(ROWS).save_to_disk(str(tmp_path / "d"))
    file = next((tmp_path / "d").glob("*.arrow"))
    for content in (b"nothing like it", file.read_bytes()[:300], None):
        file.unlink() if content is None else file.write_bytes(content)
        with pytest.raises(DataError, match=r"/d: no readable dataset of save_to_disk"):
            rows_of(tmp_path / "d")
