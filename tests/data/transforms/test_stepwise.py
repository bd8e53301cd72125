"""Parts of stepwise training: every row in one, in the order the card says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignlab.data.transforms.stepwise import BY, ORDERS, reward_accuracy, step_order, step_parts, stepwise
from alignlab.errors import ConfigError, DataError
from tests.data.transforms.hand_made import pairs_of, row, tokenized, vector


def flat(by_source):
    """Margins and the source of each, sources taking turns."""
    width = max(map(len, by_source.values()))
    mixed = [(values[i], name) for i in range(width) for name, values in by_source.items() if i < len(values)]
    return [margin for margin, _ in mixed], [name for _, name in mixed]


def test_vector():
    case = vector("A1_sdpo")
    margins, sources = flat(case["inputs"]["margins_by_source"])
    accuracy = reward_accuracy(np.array(margins), sources)
    assert accuracy == pytest.approx(case["outputs"]["reward_accuracy"], abs=1e-9)
    order = case["outputs"]["step_order"]
    assert step_order(accuracy) == order
    assert step_order(accuracy, "hard_to_easy") == order[::-1]
    rows = pairs_of(margins, sources)
    for part, name in enumerate(order, 1):
        kept = stepwise(rows, part=part, of=3).keep
        assert kept == [i for i, source in enumerate(sources) if source == name]


some_rows = st.lists(st.tuples(st.integers(-3, 3), st.sampled_from("abc")), min_size=1, max_size=14)


@given(
    rows=some_rows,
    by=st.sampled_from(BY),
    order=st.sampled_from([None, *ORDERS]),
    of=st.integers(1, 5),
    seed=st.integers(0, 3),
)
def test_every_row_is_in_one_part(rows, by, order, of, seed):
    margins, sources = zip(*rows, strict=True)
    made = pairs_of(list(map(float, margins)), sources)
    of = len(set(sources)) if by == "source" else min(of, len(rows))
    options = {"of": of, "by": by, "order": order, "seed": seed}
    parts = [stepwise(made, part=part, **options) for part in range(1, of + 1)]
    assert sorted(row for part in parts for row in part.keep) == list(range(len(rows)))
    for part in parts:
        assert not part.ordered
        assert sorted([*part.keep, *part.dropped]) == list(range(len(rows)))
    for row_number, reason in parts[0].dropped.items():
        place = int(reason.split()[2])
        assert row_number in parts[place - 1].keep
    everything = stepwise(made, **options)
    assert everything.ordered
    ends = np.cumsum([0, *(len(part.keep) for part in parts)])
    for part, start, end in zip(parts, ends, ends[1:], strict=False):
        assert sorted(everything.keep[start:end]) == list(part.keep)
    if by != "source":
        sizes = sorted(len(part.keep) for part in parts)
        assert sizes[-1] - sizes[0] <= 1


@given(rows=some_rows, by=st.sampled_from(["source", "reward_accuracy"]), of=st.integers(1, 4))
def test_reward_accuracy_falls_from_part_to_part(rows, by, of):
    margins, sources = map(list, zip(*rows, strict=True))
    made = pairs_of([float(m) for m in margins], sources)
    of = None if by == "source" else min(of, len(rows))

    def shares(order):
        parts = step_parts(made, of=of, by=by, order=order)
        return [np.mean([margins[i] > 0 for i in part]) for part in parts.values()]

    assert shares("easy_to_hard") == sorted(shares("easy_to_hard"), reverse=True)
    assert shares("hard_to_easy") == shares("easy_to_hard")[::-1]


def test_rows_by_margin():
    made = pairs_of([0.5, -1.0, 3.0, 2.0, -4.0, 1.0])
    parts = [stepwise(made, by="reward_accuracy", of=3, part=part).keep for part in (1, 2, 3)]
    assert parts == [[2, 3], [0, 5], [1, 4]]
    backwards = [
        stepwise(made, by="reward_accuracy", of=3, part=part, order="hard_to_easy").keep for part in (1, 2, 3)
    ]
    assert backwards == parts[::-1]


def test_given_and_equal_orders_need_no_scores():
    names = ["b", "a", "b", "c", "a", "a"]
    unscored = tokenized([row(id=str(i), meta={"source": name}) for i, name in enumerate(names)])
    given_order = step_parts(unscored, of=None, by="source", order="given")
    assert given_order == {"b": [0, 2], "a": [1, 4, 5], "c": [3]}
    assert len(stepwise(unscored, by="equal", part=1).keep) == 2  # as many parts as sources
    with pytest.raises(AssertionError, match="no scores"):
        stepwise(unscored, part=1)


def test_one_part_is_the_plain_run():
    unscored = tokenized([row(id=str(i)) for i in range(5)])
    for by in BY:
        selection = stepwise(unscored, by=by, of=1, part=1)
        assert list(selection.keep) == list(range(5))
        assert (selection.dropped, selection.ordered) == ({}, False)


def test_parts_are_of_the_seed_and_the_ids_alone():
    def names(ids, seed):
        rows = tokenized([row(id=name) for name in ids])
        return {rows.examples[i].id for i in stepwise(rows, by="equal", of=2, part=1, seed=seed).keep}

    ids = [f"row{i}" for i in range(20)]
    assert names(ids, 0) == names(ids[::-1], 0)
    assert len({frozenset(names(ids, seed)) for seed in range(5)}) > 1
    sources = tokenized([row(id=str(i), meta={"source": str(i)}) for i in range(6)])
    orders = {tuple(step_parts(sources, of=None, by="source", order="random", seed=s)) for s in range(5)}
    assert len(orders) > 1


def test_parts_of_other_sizes_share_no_row():
    rows = pairs_of([0.0] * 40, ["a"] * 40)
    parts = [stepwise(rows, by="equal", of=3, part=part, shares=[0.05, 0.25, 0.7]).keep for part in (1, 2, 3)]
    assert [len(part) for part in parts] == [2, 10, 28]
    assert sorted(row for part in parts for row in part) == [*range(40)]


def test_validation_keeps_all_rows():
    unscored = tokenized([row(id=str(i)) for i in range(5)])
    for part in (None, 2):
        selection = stepwise(unscored, part=part, of=3, split="validation")
        assert list(selection.keep) == list(range(5))
        assert not selection.ordered
    assert list(stepwise(tokenized([]), part=2, of=3).keep) == []


REFUSED = [
    (ConfigError, {"by": "sources"}, "pipeline.stepwise.by=sources: did you mean 'source'?"),
    (
        ConfigError,
        {"order": "easy_to_hrad"},
        "pipeline.stepwise.order=easy_to_hrad: did you mean 'easy_to_hard'?",
    ),
    (ConfigError, {"part": 4, "of": 3}, "pipeline.stepwise.part=4: there are 3 parts"),
    (
        DataError,
        {"of": 3},
        "there are 2 (x, y): leave pipeline.stepwise.of out, or use pipeline.stepwise.by=equal",
    ),
    (DataError, {"part": 3}, "pipeline.stepwise.part=3: the rows make 2 parts"),
    (ConfigError, {"of": 2, "by": "equal", "shares": [1.0]}, "pipeline.stepwise.shares=[1.0]: they are"),
    (ConfigError, {"of": 2, "shares": [1.0, 2.0]}, "they are of by=equal"),
    (DataError, {"of": 3, "by": "equal"}, "pipeline.stepwise.of=3: 2 rows cannot make 3 parts"),
]


@pytest.mark.parametrize(("kind", "options", "message"), REFUSED)
def test_parts_that_cannot_be(kind, options, message):
    with pytest.raises(kind) as error:
        stepwise(pairs_of([1.0, 2.0], ["x", "y"]), **options)
    assert message in str(error.value)
