"""A split on the hub is a split of a dataset, or a data file of its repository."""

import json

import huggingface_hub
import pytest

from alignlab.data.reading import hub_rows
from alignlab.data.reading.rows import Origin
from alignlab.errors import DataError

FILE = {
    "path": "some/data",
    "revision": "v2",
    "splits": {"train": "2023-04-12.trees.jsonl", "validation": None},
}


def test_a_file_of_the_repository(tmp_path, monkeypatch):
    asked = []

    def download(path, name, **options):
        asked.append((path, name, options))
        return str(tmp_path / name)

    (tmp_path / FILE["splits"]["train"]).write_text("\n".join(json.dumps({"n": i}) for i in range(2)))
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    monkeypatch.setattr(hub_rows.hub, "reachable", lambda: True)
    table = hub_rows.table(FILE, FILE["splits"]["train"])
    options = {"repo_type": "dataset", "revision": "v2", "local_files_only": False}
    assert asked == [("some/data", "2023-04-12.trees.jsonl", options)]
    assert hub_rows.version(table) == str(tmp_path / "2023-04-12.trees.jsonl")
    rows = list(hub_rows.rows(table, "some/data"))
    assert rows == [(Origin("some/data", 1), {"n": 0}), (Origin("some/data", 2), {"n": 1})]


def test_a_file_that_is_not_to_be_had(monkeypatch):
    monkeypatch.setattr(hub_rows.hub, "reachable", lambda: False)
    with pytest.raises(DataError, match=r"'some/data' \(split 2023.*cannot be reached.*data\.path="):
        hub_rows.table(FILE, FILE["splits"]["train"])
