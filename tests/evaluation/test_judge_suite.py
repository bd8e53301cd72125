"""How far to trust a judge: what the suite counts, on verdicts whose faults are known."""

import math

import pytest

from alignlab.evaluation.suites.judge import JudgedList, compared, run
from alignlab.judges.judge import Judged
from alignlab.judges.scores import table


class Judges:
    """A subject with these verdicts."""

    def __init__(self, **said):
        self.said = said

    def judged(self):
        return self.said

    def notes(self):
        return []


def pair(judged, labels=(1.0, 0.0), responses=("long text", "text"), **meta):
    return JudgedList("0", responses, labels, judged, meta)


def rewards(first, second):
    return Judged(rewards=(first, second))


def seen(first, second):
    """A pairwise judge that gave whichever stood first these probabilities: of (0, 1), and of (1, 0)."""
    share = (first + second) / 2
    return Judged(
        preferences=table(2, {(0, 1): (first + 1 - second) / 2}), aspects={"position": (share, share)}
    )


def lines(**said):
    return {line.name: line for line in run(Judges(**said)).lines}


def test_agreement_counts_pairs_with_a_tie_as_half_and_equal_labels_not_at_all():
    lists = [
        pair(rewards(2, 1)),
        pair(rewards(1, 2)),
        pair(rewards(1, 1)),
        pair(rewards(1, 2), labels=(1.0, 1.0)),
    ]
    found = lines(judge=[*lists, pair(Judged(unsaid="unparsed"))])
    assert found["agreement"].estimate.value == pytest.approx(1.5 / 3)
    assert found["agreement"].estimate.count == 3
    assert found["without a verdict"].estimate.value == pytest.approx(1 / 5)
    lone = JudgedList("1", ("a", "b", "c"), (1.0, 0.5, 0.0), Judged(rewards=(3.0, None, 1.0)))
    assert len([*compared(lone)]) == 1


def test_a_judge_that_takes_whichever_stands_first_is_found_out():
    found = lines(judge=[pair(seen(0.9, 0.9)), pair(seen(0.8, 0.7))])
    assert found["share of whichever stands first"].estimate.value == pytest.approx((0.9 + 0.75) / 2)
    assert found["both orders agree"].estimate.value == 0
    assert found["agreement"].estimate.value == pytest.approx((0.5 + 1) / 2)
    fair = lines(judge=[pair(seen(0.9, 0.1))])
    assert fair["both orders agree"].estimate.value == 1


def test_length_calibration_people_and_parts_are_told():
    lists = [
        pair(rewards(0.0, math.log(3)), subset="a", votes=[1.0, 1.0, 0.0]),
        pair(rewards(math.log(3), 0.0), responses=("text", "long text"), subset="b", votes=[1.0, 0.5, 1.0]),
    ]
    found = lines(judge=lists, other=lists)
    assert found["judge: prefers the longer"].estimate.value == 0
    assert found["judge: prefers the longer"].chance == 0.5
    assert found["judge: two people agree"].estimate.value == pytest.approx(2 / 4)
    assert found["judge: Brier score"].estimate.value == pytest.approx((0.75**2 + 0.25**2) / 2)
    assert found["judge: calibration error"].estimate.value == pytest.approx(0.25)
    assert found["judge: a"].estimate.value == 0
    assert found["judge: b"].estimate.value == found["other: b"].estimate.value == 1
