"""Which files train and which validate: by their names, or as `data.split` says; what is joined or left is told."""

import pytest
from datasets import Dataset, DatasetDict

from alignlab.data.reading.splits import chosen_files
from alignlab.errors import DataError


@pytest.fixture
def choice(tmp_path):
    """`choice(names, ...)` chooses among files of these names, in folders that are called test and train."""
    root = tmp_path / "test" / "train"  # folders above the data say nothing

    def choose(names, split=None, published=None):
        for name in names:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text("{}")
        return chosen_files(str(root), split, published)

    return choose


def names_of(choice):
    return {
        split: [str(path.relative_to(choice.root)) for path in paths] for split, paths in choice.files.items()
    }


@pytest.mark.parametrize(
    ("names", "train", "validation"),
    [
        (["train.jsonl", "test.jsonl"], ["train.jsonl"], ["test.jsonl"]),
        (["training.jsonl", "validation.jsonl"], ["training.jsonl"], ["validation.jsonl"]),
        (["prefs.jsonl", "prefs_test.jsonl"], ["prefs.jsonl"], ["prefs_test.jsonl"]),
        (["traindata.jsonl", "valset.jsonl"], ["traindata.jsonl"], ["valset.jsonl"]),
        (["trainSet.csv", "heldOut.csv"], ["trainSet.csv"], ["heldOut.csv"]),
        (["my-prefs.json", "my-prefs-held-out.json"], ["my-prefs.json"], ["my-prefs-held-out.json"]),
        (["TRAIN.CSV", "Dev.csv"], ["TRAIN.CSV"], ["Dev.csv"]),
        (["a.tsv", "b.ndjson", "test.tsv"], ["a.tsv", "b.ndjson"], ["test.tsv"]),
        (["train.csv", "validation.csv", "test.csv"], ["train.csv"], ["validation.csv"]),
        (["a_train-0.json", "a_train-1.json", "a_dev.json"], ["a_train-0.json", "a_train-1.json"], ["a_dev.json"]),
        (
            ["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet", "data/test-0-of-1.parquet"],
            ["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"],
            ["data/test-0-of-1.parquet"],
        ),
        (["train/0.csv", "train/1.csv", "eval/0.csv"], ["train/0.csv", "train/1.csv"], ["eval/0.csv"]),
        (["train/0.parquet", "eval/0.parquet", "test/0.parquet"], ["train/0.parquet"], ["eval/0.parquet"]),
        (["0/rows.jsonl", "1/rows.jsonl"], ["0/rows.jsonl", "1/rows.jsonl"], None),
        (["train_prefs.json", "test_prefs.json", "test_sft.json"], ["train_prefs.json"], ["test_prefs.json"]),
        (["constraint.json"], ["constraint.json"], None),
        (["train_test_mix.jsonl"], ["train_test_mix.jsonl"], None),
        (["train.jsonl"], ["train.jsonl"], None),
    ],
)  # fmt: skip
def test_splits_are_told_by_names(choice, names, train, validation):
    chosen = choice(names)
    assert names_of(chosen) == {"train": train} | ({"validation": validation} if validation else {})
    assert not chosen.warnings


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["train_prefs.json", "train_sft.json", "test.json"], r"train_prefs, train_sft.*'data\.split=train_prefs'"),
        (["training.json", "train.json"], r"several train splits, train, training"),
        (["train.json", "val_a.json", "val_b.json"], r"val_a, val_b.*validation: val_a"),
        (["train.csv", "train.jsonl"], r"train\.csv and train\.jsonl look like the same rows in two formats"),
        (["prefs.csv", "prefs.jsonl.gz"], r"in two formats"),
        (["train/test.json", "a.json"], r"train/test\.json has words of several splits"),
        (["test.json", "val.json"], r"everything there is held out.*data\.split=test"),
        (["test.json"], r"everything there is held out.*data\.split=test"),
    ],
)  # fmt: skip
def test_names_that_leave_a_choice_are_refused(choice, names, said):
    with pytest.raises(DataError, match=said):
        choice(names)


@pytest.mark.parametrize(
    ("split", "train", "validation"),
    [
        ("train_prefs", ["train_prefs.json"], ["test_prefs.json"]),
        (
            ["train_prefs", "train_sft"],
            ["train_prefs.json", "train_sft.json"],
            ["test_prefs.json", "test_sft.json"],
        ),
        ({"train": "train_sft", "validation": "test_prefs"}, ["train_sft.json"], ["test_prefs.json"]),
        ({"train": "train_sft", "validation": None}, ["train_sft.json"], None),
        ("test_sft.json", ["test_sft.json"], ["test_prefs.json"]),
    ],
)
def test_the_setting_chooses(choice, split, train, validation):
    names = ["train_prefs.json", "train_sft.json", "test_prefs.json", "test_sft.json"]
    chosen = choice(names, split)
    assert names_of(chosen) == {"train": train} | ({"validation": validation} if validation else {})
    assert not chosen.warnings


def test_a_choice_that_is_none(choice):
    with pytest.raises(DataError, match=r"data\.split=prefs: .* has no such split; there are test, train"):
        choice(["train.json", "test.json"], "prefs")
    with pytest.raises(DataError, match=r"data\.split\.valid: did you mean 'validation'"):
        choice(["train.json"], {"valid": "test"})


def test_the_splits_own_names_come_first(choice):
    names = ["train_prefs-0.parquet", "train_sft-0.parquet", "test_prefs-0.parquet"]
    published = {"train": "train_prefs", "validation": "test_prefs"}
    chosen = choice(names, None, published)
    assert names_of(chosen) == {"train": names[:1], "validation": names[2:]}
    assert not chosen.warnings
    assert names_of(choice(names, "train_sft", published))["train"] == ["train_sft-0.parquet"]


def test_what_is_not_read_is_told_once(choice):
    chosen = choice(["train.json", "test.json", "validation.json", "extra.json", "more.jsonl.zst"])
    assert len(chosen.warnings) == len(chosen.notes) == 1
    assert "not read, beside files that are: extra.json, more.jsonl.zst" in chosen.warnings[0]
    assert "test.json" in chosen.notes[0]


@pytest.mark.parametrize(
    "names",
    [["x/train.json", "y/train.json"], ["x.train.json", "y.train.json"], ["kettles.json", "kettletest.json"]],
)
def test_a_split_in_several_places_is_told(choice, names):
    chosen = choice(names)
    assert names_of(chosen) == {"train": names}
    assert "train rows are read from" in chosen.warnings[0]


def test_a_path_to_one_file_says_enough(tmp_path):
    for name in ("test.jsonl", "train.jsonl"):
        (tmp_path / name).write_text("{}")
    assert chosen_files(str(tmp_path / "test.jsonl")).files == {"train": [tmp_path / "test.jsonl"]}
    both = [str(tmp_path / "test.jsonl"), str(tmp_path / "train.jsonl")]
    assert chosen_files(both).files == {
        "train": [tmp_path / "train.jsonl"],
        "validation": [tmp_path / "test.jsonl"],
    }


def test_splits_of_saved_datasets(tmp_path):
    rows = Dataset.from_list([{"prompt": "x"}])
    DatasetDict(train=rows, test=rows).save_to_disk(str(tmp_path / "named"))
    alone = chosen_files(str(tmp_path / "named/test"))
    assert (alone.files, alone.root) == ({"train": [tmp_path / "named/test"]}, tmp_path / "named")
    assert names_of(chosen_files(str(tmp_path / "named"))) == {"train": ["train"], "validation": ["test"]}
    DatasetDict(prefs=rows, sft=rows).save_to_disk(str(tmp_path / "others"))
    with pytest.raises(DataError, match=r"several train splits, prefs, sft"):
        chosen_files(str(tmp_path / "others"))
    assert names_of(chosen_files(str(tmp_path / "others"), "sft")) == {"train": ["sft"]}


def test_files_without_a_byte(choice):
    choice(["train.json", "test.json"]).files["train"][0].write_text("")
    with pytest.raises(DataError, match=r"train\.json is empty"):
        choice(["test.json"])
