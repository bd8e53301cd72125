"""Analyses: their figures, and pictures that say what their axes are."""

from dataclasses import replace

import pytest
import torch

from alignlab.analysis.calibration import calibration
from alignlab.analysis.ches import ches, scores_of
from alignlab.analysis.displacement import Evidence, displacement
from alignlab.analysis.frontier import Point, frontier
from alignlab.analysis.length import length
from alignlab.analysis.ranking_accuracy import ranking_accuracy
from alignlab.errors import DataError
from alignlab.metrics.displacement import Mass
from alignlab.uncertainty import share
from tests.analysis.made import random_rows

ALL = [ranking_accuracy, calibration, length, ches]


@pytest.mark.parametrize("analysis", ALL)
def test_a_table_and_a_picture_with_labelled_axes(analysis, tmp_path):
    found = analysis(random_rows(products=True))
    assert found.lines[0][1].replace(",", "").isdigit()
    found.draw(tmp_path / "out" / "picture.png")
    assert (tmp_path / "out" / "picture.png").stat().st_size > 10_000
    for axes in found.figure.axes:
        assert axes.get_ylabel()
        assert axes.get_xlabel() or [text.get_text() for text in axes.get_xticklabels()]


@pytest.mark.parametrize("analysis", ALL)
def test_lists_without_a_preference_are_an_error(analysis):
    rows = random_rows(products=True)
    with pytest.raises(DataError, match="better than another"):
        analysis(replace(rows, labels=torch.zeros_like(rows.labels)))


@pytest.mark.parametrize("analysis", ALL)
def test_one_pair_is_enough(analysis):
    rows = random_rows(lists=1, size=2, sources=("a",), products=True)
    analysis(rows)


def lines(analysis, rows):
    return dict(analysis(rows).lines)


def test_ranking_accuracy_counts_flips():
    rows = random_rows()
    same = lines(ranking_accuracy, replace(rows, logps=rows.ref_logps))
    assert same["mended (wrong before, right after)"] == same["broken (right before, wrong after)"] == "0.000"
    assert same["ranking accuracy of the policy"] == same["ranking accuracy of the reference"]
    taught = lines(ranking_accuracy, replace(rows, logps=rows.labels))
    assert taught["ranking accuracy of the policy"].startswith("1.000")
    wrong = 1 - float(taught["ranking accuracy of the reference"].split()[0])
    assert float(taught["mended (wrong before, right after)"]) == pytest.approx(wrong, abs=2e-3)
    with pytest.raises(DataError, match="needs a reference: pass run="):
        ranking_accuracy(random_rows(reference=False))


def test_calibration_finds_the_temperature_that_was_put_in():
    rows = random_rows(lists=400)
    random = torch.Generator().manual_seed(1)
    rewards = torch.randn(rows.labels.shape, generator=random, dtype=torch.float64)
    gumbel = -torch.empty_like(rewards).exponential_(generator=random).log()
    drawn = replace(rows, labels=rewards + gumbel, logps=3 * rewards / rows.reward.beta, ref_logps=None)
    found = lines(calibration, drawn)
    assert float(found["temperature of the best fit"]) == pytest.approx(3.0, rel=0.15)
    name = "ECE, both orders, 10 bins"
    assert float(found[f"{name}, at that temperature"]) < 0.04 < float(found[name])


def test_length_finds_a_reward_that_is_length():
    rows = random_rows()
    long = lines(length, replace(rows, logps=rows.lengths, ref_logps=None))
    assert long["length and reward within lists, Pearson"] == "+1.000"
    assert long["rewards prefer the longer response"] == "1.000"
    assert long["accuracy, chosen longer"].startswith("1.000")
    assert long["accuracy, chosen shorter"].startswith("0.000")


def test_ches_follows_the_displacement_that_was_put_in():
    rows = random_rows(products=True)
    scores = scores_of(rows, normalized=True)
    changed = rows.ref_logps.clone()
    changed[rows.ends.list, rows.ends.chosen] -= scores
    found = lines(ches, replace(rows, logps=changed))
    assert found["rank correlation of length-normalized CHES and the log-ratio of chosen"] == "-1.000"
    assert lines(ches, replace(rows, ref_logps=None)).keys() < found.keys()
    with pytest.raises(DataError, match="hidden states"):
        ches(random_rows())


def test_displacement_says_what_fell_and_what_gained(tmp_path):
    rows = random_rows()
    fallen = replace(rows, logps=rows.ref_logps - 2 + rows.labels)
    before, after = (
        Mass(own, torch.tensor(values, dtype=torch.float64), 50)
        for own, values in ((0.5, [0.3, 0.1, 0.1]), (0.4, [0.2, 0.1, 0.3]))
    )
    rate = {"samples after": share([1.0, 0.0], [1.0, 1.0])}
    seen = Evidence(before, after, lambda token: "abc"[token], rate)
    found = displacement(fallen, seen)
    told = dict(found.lines)
    assert told["displaced (chosen fell, margin grew)"].startswith("1.000")
    assert told["gaining token 1: 'c'"] == "0.1 -> 0.3"
    assert "gaining token 2: 'b'" not in told
    assert told["probability of the data's own token: before / after"] == "0.5000 / 0.4000"
    assert told["refusals, samples after"].startswith("0.500 [")
    assert all(axes.get_xlabel() and axes.get_ylabel() for axes in found.figure.axes)
    assert found.draw(tmp_path / "picture.png") == [tmp_path / "picture.png"]
    with pytest.raises(DataError, match="needs a reference"):
        displacement(random_rows(reference=False), seen)


def test_the_frontier_keeps_its_points(tmp_path):
    points = [
        Point(f"step {step}", step, {"kl": kl, "kl_ci": 0.1, "kl_k3": kl, "win_rate": won, "length": 9.0})
        for step, kl, won in ((0, 0.0, 0.5), (8, 1.5, 0.7))
    ]
    found = frontier(points)
    assert found.lines[1] == ("step 8", "0.700; 1.500 ± 0.100, 1.500; 9.0")
    files = found.draw(tmp_path / "frontier.png")
    assert [file.name for file in files] == ["frontier.png", "frontier.csv"]
    assert files[1].read_text().splitlines()[2].startswith("step 8,8,1.5,")
    assert all(axes.get_xlabel() and axes.get_ylabel() for axes in found.figure.axes)
