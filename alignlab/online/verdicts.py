"""A judge is asked, and what it says is held against what it was asked."""

import math
from collections.abc import Sequence
from dataclasses import replace

from alignlab.errors import RunError
from alignlab.judges.judge import Asked, Judge, Judged
from alignlab.own_code import named

GOLD = "gold"
"""The aspect of a verdict that holds what a judge learned from."""


def verdicts(judge: Judge, asked: Sequence[Asked]) -> list[Judged]:
    """Return what the judge says of each list.

    Raises RunError for a verdict that is none: too few, no number, no probability; and OwnCodeError, which names the
    judge, for an exception that it raises.
    """
    with named(f"judge {judge.identity}", type(judge)):
        judged = judge(asked)
    if len(judged) != len(asked):
        raise RunError(f"{judge.identity} judged {len(judged)} of {len(asked)} lists: expected all, in order")
    for one, said in zip(asked, judged, strict=True):
        if said.unsaid is None and (fault := _fault(said, len(one.responses))):
            raise RunError(f"{judge.identity} gave row {one.id} {fault}")
    return judged


def with_gold(judged: Judged, gold: Sequence[float | None] | None) -> Judged:
    """Return a verdict with the scores that its judge learned from, as an aspect; as it is where there are none."""
    return judged if gold is None else replace(judged, aspects={**judged.aspects, GOLD: tuple(gold)})


def _fault(said: Judged, count: int) -> str:
    """What is wrong with the verdict on so many responses; empty where nothing is."""
    if said.rewards is None and said.preferences is None:
        return "neither rewards nor preferences, and no reason why (`unsaid`)"
    if said.rewards is not None:
        if len(said.rewards) != count:
            return f"{len(said.rewards)} rewards for {count} responses: expected one for each"
        if wrong := [value for value in said.rewards if value is not None and not math.isfinite(value)]:
            return f"the reward {wrong[0]}: expected a finite number, or None where it cannot say"
    if said.preferences is not None:
        if [len(row) for row in said.preferences] != [count] * count:
            return f"preferences that are no table of its {count} responses by each other"
        if not all(value is None or 0 <= value <= 1 for row in said.preferences for value in row):
            return "a preference that is no probability: expected numbers from 0 to 1, or None"
    return ""
