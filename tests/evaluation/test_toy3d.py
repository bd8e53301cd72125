"""The toy shows what the paper says of DPO, and what a likelihood term mends."""

import pytest
import torch

from alignlab.errors import ConfigError
from alignlab.evaluation.toy3d import START, toy3d, train
from alignlab.objectives.load import load_objective


def test_dpo_drops_degrades_and_disperses():
    course = train(load_objective("dpo"), epochs=200, lr=0.002, seed=0)
    assert course.chosen[0].exp().item() == pytest.approx(START[0], abs=1e-3)
    assert course.rejected[0].exp().item() == pytest.approx(START[0], abs=1e-3)
    best, end = course.peak, -1
    assert course.rejected[0] - course.rejected[end] > 10 * (course.chosen[best] - course.chosen[0])
    assert course.chosen[end] < course.chosen[best] - 0.05
    assert course.others[end] > course.others[best]
    # arXiv:2406.07327: the gradients' ratio is that of the probabilities; here of their means over prompts
    expected = (course.chosen - course.rejected).exp()
    torch.testing.assert_close(course.push[:25], expected[:25], rtol=0.3, atol=0)
    assert course.push[end] > 1e6


def test_a_likelihood_term_keeps_chosen_up():
    course = train(load_objective("dpo", regularizers={"sft": 0.1}), epochs=150, lr=0.002, seed=0)
    assert course.chosen[-1] > -0.5
    assert course.others[-1] < course.others[0] / 2


def test_the_same_seed_gives_the_same_course_and_touches_no_other_random_state():
    state = torch.get_rng_state()
    first, again = (train(load_objective("ipo"), epochs=5, lr=0.01, seed=3) for _ in range(2))
    assert torch.equal(first.chosen, again.chosen)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_picture_and_an_error_for_what_the_toy_has_not(tmp_path):
    found = toy3d(load_objective("simpo"), epochs=5)
    found.draw(tmp_path / "toy3d.png")
    assert [axes.get_xlabel() for axes in found.figure.axes] == ["epoch"] * 3
    with pytest.raises(ConfigError, match=r"objective 'tdpo1' takes .*, which the toy has not"):
        toy3d(load_objective("tdpo1"))
