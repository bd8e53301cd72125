"""Exceptions of functions that a user wrote are told with what called them, where they arose, and their line."""

import inspect
import json
import linecache
from functools import partial
from importlib import import_module

import numpy as np
import pytest
import torch

from alignlab.assembly.check import failure_of
from alignlab.data.reading.examples import Report, converted, generated, transformed, transformed_together
from alignlab.data.reading.rows import Drop, Origin
from alignlab.data.steps import Tokenized
from alignlab.data.tables.lists import take
from alignlab.errors import ConfigError, DataError, OwnCodeError
from alignlab.launch.run import _of_own_code
from alignlab.objective.load import build_objective
from alignlab.own_code import is_ours, name_of
from alignlab.targets import locate
from alignlab.training.token_steps import _selection
from alignlab.types import Example
from tests.config.compose import composed

ROW = Example(prompt=[{"role": "user", "content": "x"}], responses=["y"], labels=[1.0], id="one")
SIGNALS = {name: torch.zeros(2, 2) for name in ("logps", "ref_logps")} | {
    "labels": torch.tensor([[1.0, 0.0]] * 2)
}


def by_quality(example):
    if example.meta["quality"] < 2:
        raise Drop("low")
    yield example


def by_all(examples):
    yield examples[99]


def by_tokens(tokenized):
    return json.loads("{")


def of_row(row):
    return row["nothing"]


def of_nothing(*, split):
    yield from {}[split]


def broken_loss(chosen_logps, rejected_logps):
    return chosen_logps[99]


def told(call, *words, function):
    """The call raises one error with these words, the file, and the line of the function that raised."""
    with pytest.raises(OwnCodeError) as caught:
        call()
    lines, start = inspect.getsourcelines(function)
    message = str(caught.value)
    for word in (*words, __file__, "HYDRA_FULL_ERROR=1"):
        assert word in message
    number = int(message.partition(f"{__file__}:")[2].partition(",")[0])
    assert start < number < start + len(lines)
    assert linecache.getline(__file__, number).strip() in message
    assert caught.value.__cause__ is not None


def test_steps_of_every_kind_and_sources():
    blank = Tokenized([], np.zeros(0), [], list)
    for function, call, words in (
        (
            by_quality,
            lambda: list(transformed([ROW], "mine", by_quality, Report())),
            ("'mine', row one", "KeyError"),
        ),
        (
            by_all,
            lambda: list(transformed_together([ROW], "mine", by_all, Report())),
            ("'mine'", "IndexError"),
        ),
        (by_tokens, lambda: _selection("mine", by_tokens, blank), ("'mine'", "JSONDecodeError")),
        (
            of_nothing,
            lambda: list(generated(of_nothing, Report(), split="train")),
            ("of_nothing", "KeyError"),
        ),
    ):
        told(call, *words, function=function)
    rows = [(Origin("a.jsonl", 7), {"prompt": "x"})]
    told(lambda: list(converted(rows, of_row, Report(), skip_bad=True)), "a.jsonl, row 7", function=of_row)


def test_a_row_that_its_step_leaves_out_is_no_error():
    report = Report()
    rows = [Example(ROW.prompt, ["y"], [1.0], id=str(n), meta={"quality": n}) for n in range(4)]
    assert [row.id for row in transformed(rows, "mine", by_quality, report)] == ["2", "3"]
    assert [drop["id"] for drop in report.dropped] == ["0", "1"]


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (lambda example: None, "returned NoneType"),
        (lambda example: example, "returned Example"),
        (lambda example: [{"prompt": "x"}], "yielded dict: expected Example"),
    ],
)
def test_what_a_step_makes_must_be_rows(step, words):
    with pytest.raises(DataError, match=words):
        list(transformed([ROW], "mine", step, Report()))


def test_a_step_on_tokens_returns_a_selection():
    with pytest.raises(DataError, match="returned list: a step on tokens returns a Selection"):
        _selection("mine", lambda tokenized: [1, 2], Tokenized([], np.zeros(0), [], list))


def test_terms_of_an_objective():
    loss = {"_target_": "alignlab.losses.pairs.dpo.dpo"}
    node = {"name": "n", "loss": {**loss, "_target_": f"{__name__}.broken_loss"}, "pairs": "best_worst"}
    told(lambda: build_objective(node, {}), "objective.loss: IndexError", function=broken_loss)
    metric = {"mine": {"_target_": f"{__name__}.broken_loss"}}
    watched = build_objective({"name": "n", "loss": loss, "pairs": "best_worst"}, {}, metrics=metric)
    told(lambda: watched.measure(**SIGNALS), "metrics.mine: IndexError", function=broken_loss)


def no_tensor(chosen_logps):
    return 1.0


def test_a_term_that_returns_no_tensor():
    node = {"name": "n", "loss": {"_target_": f"{__name__}.no_tensor"}, "pairs": "best_worst"}
    with pytest.raises(ConfigError, match=r"objective\.loss returned float: expected a tensor"):
        build_objective(node, {})


def test_a_module_that_cannot_be_imported_says_where(tmp_path, monkeypatch):
    (tmp_path / "half_done.py").write_text("import math\nvalue = math.sqrt(undefined)\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(OwnCodeError, match=r"half_done.py:2.*value = math.sqrt\(undefined\)"):
        locate("half_done.value", "pipeline.mine._target_")


def test_code_that_a_library_calls_is_found_by_its_file(tmp_path, monkeypatch):
    (tmp_path / "own_callback.py").write_text(
        "class Early:\n    def stop(self):\n        raise ValueError('no')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    config = composed("+callbacks.early={_target_: own_callback.Early}")
    with pytest.raises(ValueError, match="no") as caught:
        failure_of(import_module("own_callback").Early().stop)
    error = _of_own_code(caught.value, config)
    assert str(error).startswith("callbacks.early: ValueError: no\n")
    assert "own_callback.py:3, in stop: raise ValueError('no')" in str(error)


def test_a_function_that_lies_in_alignlab_is_told_by_its_line():
    with pytest.raises(OwnCodeError, match=r"step 'mine', row one: IndexError.*\n.*lists.py:\d+, in "):
        list(transformed([ROW], "mine", partial(take, places=[99]), Report()))


def test_whose_function_it_is():
    assert is_ours(locate)
    assert not is_ours(by_all)
    assert name_of(by_all) == f"{__name__}.by_all"
