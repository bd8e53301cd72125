"""The bandit: what is out of reach of the samples of the reference is reached by contrast and own samples."""

import pytest
import torch

from alignlab.analysis.on_policy import METHODS, PEAK, SAMPLES, contrast, on_policy, places, train
from alignlab.metrics.frontier import best_of_n


@pytest.fixture(scope="module")
def courses():
    return {name: train(loss, of, steps=150, lr=0.1, seed=0) for name, (loss, of) in METHODS.items()}


def test_dpo_and_policy_gradients_reach_the_far_peak_and_fine_tuning_on_the_best_of_n_does_not(courses):
    for name in ("DPO, own samples", "policy gradient, own samples"):
        assert courses[name].at_peak > 0.5
        assert courses[name].kl > 20
    best = courses["best of n, samples of the reference"]
    assert best.at_peak < 1e-6
    assert best.reached is None
    assert best.kl == pytest.approx(best_of_n(SAMPLES)[0], abs=0.15)


def test_a_negative_gradient_goes_beyond_the_best_of_the_same_samples(courses):
    means = {name: float((one.probabilities * places()).sum()) for name, one in courses.items()}
    best, pushed = means["best of n, samples of the reference"], means["DPO, samples of the reference"]
    assert best + 4 < pushed < PEAK - 20


def test_more_updates_on_own_samples_get_there_in_fewer_of_them(courses):
    again = train(contrast, "policy", steps=40, lr=0.1, seed=0, reuse=8)
    assert again.reached < courses["DPO, own samples"].reached


def test_it_draws_from_no_other_random_state_and_has_a_line_for_each(tmp_path):
    state = torch.get_rng_state()
    found = on_policy(steps=2)
    assert torch.equal(torch.get_rng_state(), state)
    assert len(found.lines) == len(METHODS) + 2
    found.draw(tmp_path / "on_policy.png")
