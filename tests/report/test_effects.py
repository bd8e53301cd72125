"""What each key of a sweep does: differences of runs that differ in this key alone."""

from itertools import product

import pytest

from alignlab.report.comparison import compare_plots
from alignlab.report.effects import effects
from alignlab.runs.record import find_runs
from alignlab.runs.setting import finished_settings
from tests.report.runs import make_run


def swept(folder, without=()):
    """Runs of a sweep over three keys, of which b adds 1, c adds nothing or 0.5, and a adds 2 where c is 10."""
    for place, (a, b, c) in enumerate(product(("x", "y"), (False, True), (2, 10))):
        if (a, b, c) in without:
            continue
        reward = 2.0 * (a == "y" and c == 10) + 1.0 * b + 0.5 * (c == 10)
        make_run(
            folder / str(place),
            config={"a": a, "b": b, "c": c},
            overrides=(f"a={a}", f"b={b}", f"c={c}"),
            final={"gold/reward": reward},
        )
    return finished_settings(find_runs([folder]))


def test_every_value_is_set_against_the_first_one_where_all_else_is_equal(tmp_path):
    found = {effect.key: effect for effect in effects(swept(tmp_path), "gold/reward")}
    assert {key: (one.against, one.value) for key, one in found.items()} == {
        "a": ("x", "y"),
        "b": ("False", "True"),
        "c": ("2", "10"),
    }
    assert {key: one.difference.value for key, one in found.items()} == pytest.approx({"a": 1, "b": 1, "c": 1.5})
    assert found["b"].difference.half == pytest.approx(0)
    assert found["a"].difference.low < 0 < found["c"].difference.low + 0.5
    assert {one.difference.count for one in found.values()} == {4}


def test_a_run_that_has_no_other_to_be_set_against_is_left_out(tmp_path):
    settings = swept(tmp_path, without=[("y", True, 10)])
    assert {one.difference.count for one in effects(settings, "gold/reward")} == {3}


def test_it_is_drawn_for_sweeps_over_three_keys_and_more(tmp_path):
    settings = swept(tmp_path / "runs")
    assert tmp_path / "out/effects.png" in compare_plots(settings, tmp_path / "out")
    two = [setting for setting in settings if setting.choices["a"] == "x"]
    for setting in two:
        setting.choices.pop("a")
    assert tmp_path / "two/effects.png" not in compare_plots(two, tmp_path / "two")
