"""Both splits of a source, and an account of every row that adds up."""

import json
import logging
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path

import datasets
import pytest

from alignlab.data.load import load_examples
from alignlab.data.reading import hub_rows
from alignlab.data.sources import local, ultrafeedback
from alignlab.data.spec import DataSpec
from alignlab.data.transforms.joint import joint
from alignlab.data.transforms.limit import kept, limit
from alignlab.data.transforms.pairs import pairs
from alignlab.data.transforms.ranked import ranked
from alignlab.errors import ConfigError, DataError
from alignlab.lab import world
from tests.data.shared import DATA, needs_data


def row(i, **changes):
    return {
        "id": f"r{i}",
        "prompt": f"prompt {i // 2}",
        "responses": ["a", "b", "c"],
        "labels": [1, 0, 0.5],
    } | changes


def write(folder, name="data.jsonl", rows=None):
    file = folder / name
    file.write_text("\n".join(json.dumps(r) for r in rows or [row(i) for i in range(200)]))
    return file


@pytest.fixture
def cache(tmp_path_factory):
    """A cache of this test's own."""
    return tmp_path_factory.mktemp("cache")


def loaded(path, cache=None, **options):
    spec = DataSpec("mine", local.convert, path=str(path), **options)
    return load_examples(spec, cache or Path(tempfile.mkdtemp(dir=path.parent)) / ".cache")


def ids(examples):
    return [example.id for example in examples]


def prompts(examples):
    return {example.prompt[0]["content"] for example in examples}


def assert_adds_up(report, *steps):
    """Rows in are rows out and rows dropped, and a step gets what the one before it gave."""
    for name in steps:
        counts = report.steps[name]
        assert counts["in"] == counts["out"] + sum(
            n for what, n in counts.items() if what.startswith("dropped")
        )
    assert len(report.dropped) == sum(
        n for counts in report.steps.values() for what, n in counts.items() if what.startswith("dropped")
    )


@pytest.mark.parametrize("fraction", [0.05, 0.5])
def test_one_file_is_divided_by_prompt(tmp_path, fraction):
    examples = loaded(write(tmp_path), validation_fraction=fraction)
    assert sorted(ids(examples.train) + ids(examples.validation)) == sorted(f"r{i}" for i in range(200))
    assert not prompts(examples.train) & prompts(examples.validation)
    share = len(examples.validation) / 200
    assert fraction / 3 < share < 2 * fraction
    again = loaded(write(tmp_path), validation_fraction=fraction)
    assert ids(again.validation) == ids(examples.validation)


def test_a_division_does_not_depend_on_the_other_rows(tmp_path):
    whole = loaded(write(tmp_path), validation_fraction=0.3)
    half = loaded(write(tmp_path, rows=[row(i) for i in range(100)]), validation_fraction=0.3)
    assert set(ids(half.validation)) == set(ids(whole.validation)) & {f"r{i}" for i in range(100)}


def test_a_small_file_still_has_a_validation_split(tmp_path):
    examples = loaded(write(tmp_path, rows=[row(i) for i in range(6)]), validation_fraction=0.0)
    assert len(examples.train) == 4
    assert len(prompts(examples.validation)) == 1
    assert not prompts(examples.train) & prompts(examples.validation)


@pytest.mark.parametrize(
    ("name", "text"), [("a.csv", "prompt,chosen\n"), ("a.jsonl", "\n"), ("a.json", "[]")]
)
def test_a_file_without_rows(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=r"no train rows left after its pipeline: no row was read from .*a\."):
        loaded(tmp_path / name)


@pytest.mark.parametrize("name", ["source", "meta", "id", "system", "prompt", "tools", "annotator", "\ud83d"])
def test_half_an_emoji_is_a_bad_row_wherever_it_stands(tmp_path, name):
    half = {"meta": {"by": "\ud83d"}, "tools": [{"name": "\ud83d"}]}.get(name, "\ud83d")
    file = write(tmp_path, rows=[*map(row, range(20)), row(3) | {name: half}])
    if name in ("annotator", "\ud83d"):  # not used, and so no fault
        assert len(loaded(file, validation_fraction=None).train) == 21
        return
    assert len(loaded(file, validation_fraction=None, on_bad_row="skip").train) == 20
    with pytest.raises(DataError, match=rf"row 21 .*column '{name}.*no valid Unicode") as error:
        loaded(file)
    assert str(error.value).encode()


def test_one_prompt_alone_cannot_be_divided(tmp_path):
    with pytest.raises(DataError, match=r"data 'mine': no .* rows: its 2 rows have 1 prompt in all"):
        loaded(write(tmp_path, rows=[row(0), row(1)]))


@pytest.mark.parametrize(
    ("train", "other"), [("train.jsonl", "test.jsonl"), ("train/0.jsonl", "dev/0.jsonl")]
)
def test_splits_of_a_folder_are_kept(tmp_path, train, other):
    for name, rows in {train: [row(i) for i in range(9)], other: [row(i) for i in range(20, 23)]}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write(tmp_path, name, rows)
    examples = loaded(tmp_path)
    assert ids(examples.train) == [f"r{i}" for i in range(9)]
    assert ids(examples.validation) == ["r20", "r21", "r22"]


def test_a_file_is_never_on_both_sides(tmp_path):
    write(tmp_path, "train_test_mix.jsonl")
    examples = loaded(tmp_path)
    assert not prompts(examples.train) & prompts(examples.validation)
    assert len(examples.train) + len(examples.validation) == 200


def test_limits_draw_rows_and_keep_their_order(tmp_path):
    limits = {"validation_fraction": 0.3, "limit": 7, "limit_validation": 3}
    whole = loaded(write(tmp_path), validation_fraction=0.3, limit_validation=None)
    some, same, others = (
        loaded(write(tmp_path), **limits, **options) for options in ({}, {}, {"limit_seed": 1})
    )
    for split, most in (("train", 7), ("validation", 3)):
        rows, every = ids(getattr(some, split)), ids(getattr(whole, split))
        assert rows == ids(getattr(same, split)) == [name for name in every if name in rows]
        assert len(rows) == most
        assert rows != every[:most]
        assert rows != ids(getattr(others, split))
    head = loaded(write(tmp_path), **limits, limit_choose="first")
    assert ids(head.train) == ids(whole.train)[:7]
    assert ids(head.validation) == ids(whole.validation)[:3]


def test_a_limit_at_the_start_counts_rows_before_a_step_makes_several_of_them(cache):
    spec = DataSpec(
        "lab", world.examples, limit=40, limit_validation=10, steps={"joint": partial(joint, share=1.0)}
    )
    end, start = (load_examples(replace(spec, limit_at=at), cache) for at in ("end", "start"))
    assert len(end.validation) == 10
    assert len(start.validation) == start.report.steps["joint"]["out"] - len(start.train) > 10


@pytest.mark.parametrize("step", [None, "limit"])
def test_a_limit_keeps_rows_of_every_step_and_tells_how_many(cache, step, caplog):
    steps = {"joint": partial(joint, share=0.5)}
    if step:
        steps |= {step: partial(limit, rows=400, validation_rows=40)}
    spec = DataSpec("lab", world.examples, limit=400, limit_validation=40, steps=steps)
    examples = load_examples(spec, cache)
    counts = examples.report.steps[step or "data.limit"]
    joints = sum("prompts" in row.meta for table in (examples.train, examples.validation) for row in table)
    assert counts["from joint kept"] == joints == pytest.approx(440 / 3, rel=0.15)
    assert counts["from source kept"] + joints == counts["out"] == 440
    assert counts["in"] == examples.report.steps["joint"]["out"] == pytest.approx(660, abs=2)
    assert load_examples(spec, cache).report.steps == examples.report.steps
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]

    first = replace(spec, steps={"joint": steps["joint"]}, limit_choose="first")
    assert load_examples(first, cache).report.steps["data.limit"]["from joint kept"] == 0
    assert "rows that 'joint' made stays" in caplog.text


def test_a_draw_is_fair_and_goes_by_ids_alone():
    names = [f"row-{i}" for i in range(2000)]
    rows = kept(names, 500, seed=3)
    assert 200 < sum(row < 1000 for row in rows) < 300
    assert [names[row] for row in rows] == [names[::-1][row] for row in kept(names[::-1], 500, seed=3)][::-1]
    assert set(kept(names, 100, seed=3)) < set(rows)


def test_the_report_adds_up(tmp_path):
    rows = [row(i) for i in range(40)]
    rows[3] = row(3, labels=[1, None, 0])
    rows[4] = row(4, labels=[1, 1, 1])
    rows[5] = row(5, responses=["a", "b"], labels=[1, 0])
    examples = loaded(write(tmp_path, rows=rows), on_bad_row="skip", steps={"ranked": partial(ranked, k=3)})
    report = examples.report
    assert report.steps["source"] == {"in": 40, "out": 39, f"dropped: {report.dropped[0]['reason']}": 1}
    assert report.steps["ranked"]["in"] == 39
    assert report.steps["preference"]["in"] == report.steps["ranked"]["out"] == 37
    assert report.steps["preference"]["out"] == len(examples.train) + len(examples.validation)
    assert_adds_up(report, "source", "ranked", "preference")
    assert {d["id"]: d["step"] for d in report.dropped} == {"r3": "source", "r4": "ranked", "r5": "ranked"}


def test_lists_without_a_preference_are_dropped_and_single_responses_kept(tmp_path):
    rows = [row(i, responses=["a"], labels=[1]) for i in range(20)] + [row(30, labels=[1, 1, 1])]
    examples = loaded(write(tmp_path, rows=rows), validation_fraction=0.3)
    assert len(examples.train) + len(examples.validation) == 20
    assert examples.largest() == 1
    assert [(d["step"], d["id"]) for d in examples.report.dropped] == [("preference", "r30")]


def test_a_bad_row_stops_unless_it_is_to_be_skipped(tmp_path):
    rows = [row(i) for i in range(9)] + [row(9, labels="none")]
    with pytest.raises(
        DataError, match=r"data.jsonl, row 10 \(id r9\): column 'labels'.*data.on_bad_row=skip"
    ):
        loaded(write(tmp_path, rows=rows))
    assert loaded(write(tmp_path, rows=rows), on_bad_row="skip", validation_fraction=0.3).report.dropped


@pytest.mark.parametrize(("limit", "limit_validation"), [(12, 5), (1, 1)])
def test_a_source_that_makes_its_rows(limit, limit_validation, cache):
    spec = DataSpec("lab", world.examples, limit=limit, limit_validation=limit_validation)
    examples = load_examples(spec, cache)
    assert (len(examples.train), len(examples.validation)) == (limit, limit_validation)
    assert not prompts(examples.train) & prompts(examples.validation)
    assert_adds_up(examples.report, "source", "preference")


def test_a_source_that_makes_its_rows_must_know_how_many(cache):
    with pytest.raises(ConfigError, match="say how many"):
        load_examples(DataSpec("lab", world.examples, limit=None), cache)


def test_hub_splits(monkeypatch, cache):
    asked = []

    def table(where, name):
        asked.append(name)
        shift = {"t": 0, "v": 100, "w": 200}[name]
        return datasets.Dataset.from_list([row(i + shift) for i in range(9)])

    monkeypatch.setattr(hub_rows, "table", table)
    spec = {"path": "some/data", "revision": "main", "splits": {"train": "t", "validation": "v"}}
    examples = load_examples(DataSpec("mine", local.convert, hub=spec), cache)
    assert asked == ["t", "v"]
    assert ids(examples.validation) == [f"r{i}" for i in range(100, 109)]
    divided = spec | {"splits": {"train": "t", "validation": None}}
    examples = load_examples(DataSpec("mine", local.convert, hub=divided, validation_fraction=0.4), cache)
    assert len(examples.train) + len(examples.validation) == 9
    asked.clear()
    chosen = DataSpec("mine", local.convert, hub=spec, split={"train": ["t", "v"], "validation": "w"})
    examples = load_examples(chosen, cache)
    assert asked == ["t", "v", "w"]
    assert len(examples.train) == 18
    assert ids(examples.validation) == [f"r{i}" for i in range(200, 209)]


def test_an_unreachable_hub_says_what_to_do(monkeypatch, cache):
    monkeypatch.setattr(hub_rows.hub, "reachable", lambda: False)
    spec = {"path": "alignlab-tests/none", "revision": "main", "splits": {"train": "t", "validation": None}}
    with pytest.raises(DataError, match=r"'alignlab-tests/none' \(split t\).*cannot be reached.*data.path="):
        load_examples(DataSpec("mine", local.convert, hub=spec), cache)


def test_without_path_and_hub(cache):
    with pytest.raises(DataError, match=r"data\.path="):
        load_examples(DataSpec("mine", local.convert), cache)


@needs_data
def test_a_folder_of_real_lists(cache):
    spec = DataSpec("ultrafeedback", ultrafeedback.convert, path=str(DATA / "ultrafeedback_like/k4"))
    examples = load_examples(spec, cache)
    assert examples.report.steps["source"]["in"] == 477 + 236 + 116 + 73 + 30 + 15
    assert examples.largest() == 4
    paired = load_examples(DataSpec(**(vars(spec) | {"steps": {"pairs": pairs}})), cache)
    assert paired.largest() == 2
    assert_adds_up(paired.report, "source", "pairs", "preference")
