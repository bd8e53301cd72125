"""Scored datasets: columns, slices and summaries, by hand and against the metrics of training."""

from dataclasses import replace

import pyarrow.parquet as pq
import pytest
import torch

from alignlab.analysis.summary import figures, summaries
from alignlab.metrics.meter import Meter
from alignlab.metrics.preference import preference_metrics
from alignlab.objective.implicit_reward import ImplicitReward
from alignlab.verbs import score
from tests.analysis.made import random_rows


def test_figures_are_those_that_training_reports():
    rows = random_rows()
    meter = Meter()
    known = {name: getattr(rows, name) for name in ("logps", "ref_logps", "lengths", "labels", "where")}
    meter.add(preference_metrics(**known, start_logps=rows.ref_logps, reward=rows.reward))
    expected, found = meter.values(), {name: e.value for name, e in figures(rows).items()}
    names = {
        "implicit accuracy": "rewards/accuracy",
        "ranking accuracy": "ranking_accuracy",
        "implicit reward margin, nats": "rewards/margin",
        "log-ratio of chosen, nats": "logps_change/chosen",
        "log-ratio of rejected, nats": "logps_change/rejected",
        "length of chosen, tokens": "lengths/chosen",
        "length of rejected, tokens": "lengths/rejected",
        "NDCG of lists": "lists/ndcg",
        "Kendall's tau of lists": "lists/kendall_tau",
        "top 1 of lists": "lists/top1",
    }
    assert {name: found[name] for name in names} == pytest.approx(
        {name: expected[metric] for name, metric in names.items()}
    )
    assert all(e.low <= e.value <= e.high for e in figures(rows).values())


def test_without_a_reference_there_are_no_ratios():
    found = figures(random_rows(reference=False))
    assert "log-prob of chosen, nats" in found
    assert not [name for name in found if "ratio" in name or "implicit" in name]


def test_every_source_has_its_own_figures():
    rows = random_rows(sources=("a", "b", "b"))
    found = {name: part for name, part, _ in summaries(rows)}
    assert list(found) == ["all", "a", "b"]
    assert found["b"].ids == [name for i, name in enumerate(rows.ids) if i % 3]
    torch.testing.assert_close(found["a"].rewards, rows.rewards[::3])
    assert [name for name, *_ in summaries(random_rows(sources=("a",)))] == ["all"]
    columns = [column.header for column in score.table(rows, "train").columns]
    assert columns == ["", "all", "a", "b"]


def test_columns_hold_every_response_once(tmp_path):
    rows = random_rows(lists=5)
    file = tmp_path / "deep" / "scores.parquet"
    rows.write(file)
    table = pq.read_table(file)
    assert table.num_rows == int(rows.where.sum())
    told = {(row["id"], row["response"]): row for row in table.to_pylist()}
    for b, k in rows.where.nonzero().tolist():
        row = told[rows.ids[b], k]
        assert (row["logp"], row["length"]) == (rows.logps[b, k].item(), rows.lengths[b, k].item())
        assert row["reward"] == pytest.approx(0.5 * (row["logp"] - row["ref_logp"]))
    assert "score" not in table.column_names


def test_lone_responses_have_sides_and_no_order():
    rows = random_rows(lists=200)
    lone = replace(rows, where=torch.arange(4).expand(200, 4) == 0, labels=(rows.labels > 0.5).double())
    found = figures(lone)
    change = (lone.logps - lone.ref_logps)[:, 0]
    good = lone.labels[:, 0] > 0.5
    assert found["log-ratio of chosen, nats"].value == pytest.approx(change[good].mean().item())
    assert found["log-ratio of rejected, nats"].value == pytest.approx(change[~good].mean().item())
    expected = ((change > 0) == good).double().mean().item()
    assert found["sign of the reward is right"].value == pytest.approx(expected)
    assert found["ranking accuracy"].text() == "-"
    assert "sign of the reward is right" not in figures(rows)


def test_a_reward_without_reference_is_told_beside_the_ratios():
    rows = replace(random_rows(), reward=ImplicitReward(2.0, per_token=True, against_reference=False))
    torch.testing.assert_close(rows.rewards, 2 * rows.logps / rows.lengths)
    assert "implicit reward margin, nats a token" in figures(rows)
    assert "implicit accuracy" in figures(replace(rows, ref_logps=None))
