"""The rule without a best response."""

from itertools import product

import pytest

from alignlab.lab.cycle import MOVES, move, win, win_rates
from alignlab.lab.grammar import VALUES, state

OPENINGS = {name: state("fox", name, VALUES[name][0]) for name in VALUES}


def test_every_move_beats_one_and_loses_to_another():
    assert sorted(MOVES.values()) == [0, 0, 1, 1, 2, 2]
    for (one, ours), (other, theirs) in product(OPENINGS.items(), repeat=2):
        assert win(ours, theirs) + win(theirs, ours) == 1.0
        assert (win(ours, theirs) == 0.5) == (MOVES[one] == MOVES[other])
    for ours in OPENINGS.values():
        assert sum(win(ours, theirs) for theirs in OPENINGS.values()) == 3.0


def test_a_response_without_a_move_loses_to_all_that_have_one():
    assert move("I hope this helps.") is None
    assert all(win(text, "I hope this helps.") == 1.0 for text in OPENINGS.values())
    assert win("", "I hope this helps.") == 0.5


def test_win_rates_are_against_the_others():
    color, food, home = (OPENINGS[name] for name in ("color", "food", "home"))
    assert win_rates([color, food]) == [1.0, 0.0]
    assert win_rates([color, food, home]) == [0.5, 0.5, 0.5]
    assert win_rates([color, color, food]) == pytest.approx([0.75, 0.75, 0.0])
