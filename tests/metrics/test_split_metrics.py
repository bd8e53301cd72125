"""Metrics of a whole split: by hand, in any order and batching."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from alignlab.metrics.split_metrics import SOURCES, Rows, by_gap, by_source, diagram, split_metrics
from alignlab.objective.implicit_reward import ImplicitReward
from tests.metrics.lists import ragged
from tests.vectors import tensor


def pairs(margins, gaps, lengths=None):
    where = torch.ones(len(margins), 2, dtype=torch.bool)
    rewards, labels = (torch.stack([tensor(x), torch.zeros(len(x)).double()], 1) for x in (margins, gaps))
    return Rows(rewards, tensor(lengths or [[1.0, 2.0]] * len(margins)), labels, where)


def test_by_hand():
    rows = pairs([2.0, -1.0, 1.0, 3.0], [0.1, 0.2, 0.2, 0.9], [[5, 1], [2, 4], [3, 3], [9, 1]])
    found = split_metrics(rows, ["a", "b", "b", "b"])
    assert found["length_correlation"] > 0.9
    probabilities = [1 / (1 + math.exp(-margin)) for margin in (2, -1, 1, 3)]
    assert found["calibration/brier"] == pytest.approx(sum((1 - p) ** 2 for p in probabilities) / 4)
    assert 0 < found["calibration/ece"] < 1
    assert {name: value for name, value in found.items() if name.startswith(("source", "gap"))} == (
        pytest.approx(
            {
                "source/a/rewards/accuracy": 1.0,
                "source/a/rewards/margin": 2.0,
                "source/b/rewards/accuracy": 2 / 3,
                "source/b/rewards/margin": 1.0,
                "gap/low/rewards/accuracy": 2 / 3,  # equal gaps stay together, so none is left in the middle
                "gap/low/rewards/margin": 2 / 3,
                "gap/high/rewards/accuracy": 1.0,
                "gap/high/rewards/margin": 3.0,
            }
        )
    )


def test_one_source_and_one_gap_make_no_slices():
    found = split_metrics(pairs([2.0, -1.0], [1.0, 1.0]), ["a", "a"])
    assert not [name for name in found if name.startswith(("source", "gap"))]


def test_thirds_hold_every_list_with_a_gap_once():
    rows = pairs([0.0] * 9, [9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0])
    masks = by_gap(rows.labels, rows.where)
    assert {name: mask.nonzero().flatten().tolist() for name, mask in masks.items()} == {
        "low": [6, 7, 8],
        "middle": [3, 4, 5],
        "high": [0, 1, 2],
    }


def test_small_sources_go_together():
    names = ["big", "big", *(f"s{i}" for i in range(SOURCES + 1))]
    masks = by_source(names)
    assert len(masks) == SOURCES + 1
    assert masks["big"].sum() == 2
    assert masks["others"].sum() == 2
    assert torch.stack([*masks.values()]).sum(0).tolist() == [1] * len(names)


def test_a_step_0_with_all_rewards_equal_is_calibrated_and_has_no_correlation():
    found = split_metrics(pairs([0.0, 0.0], [1.0, 1.0]))
    assert found == pytest.approx({"calibration/ece": 0.0, "calibration/brier": 0.25})


def test_the_diagram_is_that_of_the_error():
    rows = pairs([2.0, -1.0, 1.0, 3.0], [0.1, 0.2, 0.2, 0.9])
    told = diagram(rows)
    gaps = [
        count * abs(predicted - observed)
        for predicted, observed, count in zip(told["predicted"], told["observed"], told["count"], strict=True)
    ]
    assert sum(told["count"]) == 2 * 4
    assert sum(gaps) / 8 == pytest.approx(split_metrics(rows)["calibration/ece"])
    assert diagram(rows.take(torch.tensor([], dtype=torch.long))) == {}


def test_lone_responses_have_slices_by_source_and_a_correlation_over_all():
    known = {
        "logps": tensor([[-1.0], [-3.0], [-9.0], [-2.0]]),
        "ref_logps": tensor([[-2.0], [-1.0], [-5.0], [-2.0]]),
        "lengths": tensor([[3.0], [2.0], [1.0], [2.5]]),
        "labels": tensor([[1.0], [1.0], [0.0], [0.0]]),
        "where": torch.ones(4, 1, dtype=torch.bool),
    }
    rows = Rows.joined([known], ImplicitReward(0.5))
    found = split_metrics(rows, ["a", "b", "a", "b"])
    assert found.pop("length_correlation") > 0.9
    assert found == {
        "source/a/rewards/accuracy": 1.0,
        "source/a/rewards/margin": 2.5,
        "source/b/rewards/accuracy": 0.25,
        "source/b/rewards/margin": -1.0,
    }
    assert diagram(rows) == {}


def signals(scores, labels, where):
    return {"logps": scores, "lengths": scores.abs() + 1, "labels": labels, "where": where}


@settings(max_examples=30, deadline=None)
@given(lists=ragged(), other=ragged(size=3), data=st.data())
def test_batching_padding_and_the_order_of_rows_change_nothing(lists, other, data):
    parts = [signals(*lists), signals(*other)]
    rows = Rows.joined(parts, ImplicitReward(0.5))
    sources = [f"s{i % 2}" for i in range(len(rows.labels))]
    expected = split_metrics(rows, sources)
    order = torch.tensor(data.draw(st.permutations(range(len(rows.labels)))))
    again = split_metrics(rows.take(order), [sources[i] for i in order])
    assert again == pytest.approx(expected, abs=1e-9)
    single = [
        {name: value[i : i + 1] for name, value in part.items()}
        for part in parts
        for i in range(len(part["logps"]))
    ]
    assert split_metrics(Rows.joined(single, ImplicitReward(0.5)), sources) == pytest.approx(
        expected, abs=1e-9
    )
