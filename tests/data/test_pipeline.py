"""Steps are kept on disk: a changed one is run again with those behind it, and no other."""

import importlib
import json
import sys

import pytest

from alignlab.data.pipeline import piped, stored
from alignlab.data.reading.examples import Report
from alignlab.data.reading.rows import Dropped, user
from alignlab.data.steps import Selection, kind_of, text_and_token_steps
from alignlab.data.tables.table import ExampleTable, write_table
from alignlab.errors import ConfigError, DataError
from alignlab.types import Example

STEPS = """
from dataclasses import replace
from pathlib import Path

from alignlab.data.reading.rows import Drop, Dropped

RUNS = Path({runs!r})


def note(name):
    with RUNS.open("a") as file:
        file.write(name + "\\n")


def mark(example, *, word="x", split="train"):
    if example.id == "0":
        raise Drop("the first")
    yield replace(example, meta={{**example.meta, "mark": word + split}})


def turn(examples, *, tell=""):
    note("turn" + tell)
    for example in reversed(range(len(examples))):
        yield examples[example] if example else Dropped(examples[example].id, "the last")
"""


@pytest.fixture
def steps(tmp_path, monkeypatch):
    """Steps of one's own, in a module that can be edited; they note that they ran."""
    (tmp_path / "mysteps.py").write_text(STEPS.format(runs=str(tmp_path / "runs")))
    monkeypatch.syspath_prepend(tmp_path)
    sys.modules.pop("mysteps", None)
    module = importlib.import_module("mysteps")
    (tmp_path / "runs").touch()
    yield module
    sys.modules.pop("mysteps", None)


def source(folder, count=30):
    rows = [Example(user(f"p{i}"), ["a", "b"], [1.0, 0.0], id=str(i)) for i in range(count)]
    write_table(folder / "source", rows)
    return ExampleTable(folder / "source")


def run(tmp_path, steps, split="train", processes=None):
    report = Report()
    rows = piped(source(tmp_path), steps, split, tmp_path / "cache", report, processes)
    return list(rows), report


def runs(tmp_path):
    found = (tmp_path / "runs").read_text().split()
    (tmp_path / "runs").write_text("")
    return found


def test_steps_in_order_with_an_account(tmp_path, steps):
    rows, report = run(tmp_path, {"mark": steps.mark, "turn": steps.turn})
    assert [row.id for row in rows] == [str(i) for i in range(29, 1, -1)]
    assert {row.meta["mark"] for row in rows} == {"xtrain"}
    assert report.steps["mark"] == {"in": 30, "out": 29, "dropped: the first": 1}
    assert report.steps["turn"] == {"in": 29, "out": 28, "dropped: the last": 1}
    assert [(d["step"], d["id"]) for d in report.dropped] == [("mark", "0"), ("turn", "1")]


def test_only_what_changed_and_what_follows_runs_again(tmp_path, steps):
    from functools import partial

    first = {"one": partial(steps.turn, tell="1"), "two": partial(steps.turn, tell="2")}
    before = run(tmp_path, first)
    assert runs(tmp_path) == ["turn1", "turn2"]
    after = run(tmp_path, first)
    assert runs(tmp_path) == []
    assert after[0] == before[0]
    assert after[1].to_json() == before[1].to_json()
    run(tmp_path, {**first, "two": partial(steps.turn, tell="3")})
    assert runs(tmp_path) == ["turn3"]
    run(tmp_path, {**first, "one": partial(steps.turn, tell="4")})
    assert runs(tmp_path) == ["turn4", "turn2"]


def test_edited_code_is_another_step(tmp_path, steps):
    from alignlab.data.tables.identity import code_hash

    run(tmp_path, {"turn": steps.turn})
    assert runs(tmp_path) == ["turn"]
    file = tmp_path / "mysteps.py"
    file.write_text(file.read_text() + "\n# another\n")
    code_hash.cache_clear()
    run(tmp_path, {"turn": steps.turn})
    assert runs(tmp_path) == ["turn"]


def test_a_step_is_told_its_split(tmp_path, steps):
    rows, _ = run(tmp_path, {"mark": steps.mark}, split="validation")
    assert {row.meta["mark"] for row in rows} == {"xvalidation"}


@pytest.mark.slow
def test_several_processes_give_the_same(tmp_path, steps):
    alone = run(tmp_path, {"mark": steps.mark})
    (tmp_path / "b").mkdir()
    report = Report()
    rows = piped(source(tmp_path / "b", 3000), {"mark": steps.mark}, "train", tmp_path / "b", report, 2)
    assert [row.id for row in rows] == [str(i) for i in range(1, 3000)]
    assert [d["id"] for d in report.dropped] == [d["id"] for d in alone[1].dropped] == ["0"]


def test_a_step_that_fails_leaves_nothing(tmp_path):
    def broken(example):
        yield Example([], ["a"], [1.0], id="made")

    with pytest.raises(DataError, match=r"step 'broken' made an unsound row made"):
        run(tmp_path, {"broken": broken})
    assert [
        f for f in (tmp_path / "cache/examples").iterdir() if f.is_dir() and "partial" not in f.name
    ] == []


def test_a_table_without_its_report_is_made_again(tmp_path):
    made = []

    def make(report):
        made.append(1)
        report.drop("s", "why", "x")
        yield Example(user("p"), ["a"], [1.0], id="1")

    for _ in range(2):
        stored(tmp_path, "key", make, Report(), "rows")
    assert made == [1]
    (tmp_path / "examples/key/report.json").unlink()
    report = Report()
    stored(tmp_path, "key", make, report, "rows")
    assert made == [1, 1]
    assert json.dumps(report.dropped) == '[{"step": "s", "reason": "why", "id": "x"}]'


def test_kinds_are_told_by_the_parameter(steps):
    assert kind_of(steps.mark) == "example"
    assert kind_of(steps.turn) == "examples"
    with pytest.raises(ConfigError, match=r"pipeline.odd: .*named example, examples or tokenized.*\(row\)"):
        kind_of(lambda row: row, "pipeline.odd")


def test_text_steps_stand_before_token_steps(steps):
    def order(tokenized):
        return Selection([])

    text, tokens = text_and_token_steps({"a": steps.mark, "b": order})
    assert (list(text), list(tokens)) == (["a"], ["b"])
    with pytest.raises(ConfigError, match="'a' works on text and stands behind 'b'"):
        text_and_token_steps({"b": order, "a": steps.mark})


def test_dropped_names_the_row():
    assert Dropped("7", "why") == Dropped(id="7", reason="why")
