"""The toy shows what the paper says of DPO, and what a likelihood term mends."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from alignlab.analysis.toy3d import START, by_probability, toy3d, train
from alignlab.errors import ConfigError
from alignlab.objective.load import load_objective
from tests.vectors import more


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


def slopes(chosen, rejected, beta, alpha=1.0):
    """Of DPO by both probabilities; alpha = (ref(chosen) / ref(rejected))^beta."""
    logps = torch.tensor([[chosen, rejected]], dtype=torch.float64).log().requires_grad_()
    ref_logps = torch.tensor([[math.log(alpha) / beta, 0.0]], dtype=torch.float64)
    labels = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    loss = load_objective("dpo", beta=beta)(logps=logps, ref_logps=ref_logps, labels=labels).loss
    return by_probability(loss, logps)[0].tolist()


def test_the_vector_of_3d_properties():
    vectors = more()
    told, expected = (vectors["D2_3d"][side] for side in ("inputs", "outputs"))
    chosen, rejected = slopes(told["pi_plus"], told["pi_minus"], told["beta"], told["alpha"])
    found = {"d_pi_plus": chosen, "d_pi_minus": rejected, "ratio_minus_over_plus": rejected / chosen}
    assert found == pytest.approx(expected, abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(chosen=st.floats(1e-4, 0.9), rejected=st.floats(1e-4, 0.9), beta=st.floats(0.05, 1))
def test_the_push_over_the_pull_is_the_ratio_of_the_probabilities(chosen, rejected, beta):
    pull, push = slopes(chosen, rejected, beta)
    assert push / pull == pytest.approx(-chosen / rejected)


def test_as_rejected_vanishes_the_push_on_it_grows_and_the_pull_on_chosen_dies():
    pulls, pushes = zip(*(slopes(0.1, rejected, 0.1) for rejected in (1e-2, 1e-4, 1e-6)), strict=True)
    assert pushes[0] < pushes[1] < pushes[2]
    assert abs(pulls[0]) > abs(pulls[1]) > abs(pulls[2])
