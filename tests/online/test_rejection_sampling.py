"""Statistical rejection sampling against its algorithm: who is accepted, how often, and between what it lies."""

import math
from collections import Counter
from statistics import fmean

import numpy as np
import pytest

from alignlab.online.rejection_sampling import accepted, rejection_sampling
from tests.vectors import more


def test_the_vector_of_accepted_candidates():
    told = more()["A6_rso"]
    given = told["inputs"]
    uniforms = iter(given["uniforms"])
    stay = accepted(given["rewards"], lambda: next(uniforms), keep=given["num_samples"], beta=given["beta"])
    assert stay == told["outputs"]["accepted"]
    most = max(given["rewards"])
    chances = [math.exp((reward - most) / given["beta"]) for reward in given["rewards"]]
    assert chances == pytest.approx(told["outputs"]["first_pass_accept_prob"])
    assert fmean(chances) == pytest.approx(told["outputs"]["expected_acceptance_rate"])


def test_candidates_of_equal_reward_are_candidates_of_their_own():
    assert sorted(accepted([1.0] * 5, np.random.default_rng(0).random, keep=5, beta=0.5)) == [*range(5)]
    with pytest.raises(ValueError, match="there are 2 candidates"):
        accepted([1.0, 2.0], np.random.default_rng(0).random, keep=3, beta=0.5)
    assert rejection_sampling([1.0, 2.0], (0, 0), keep=3) == "fewer responses than online.pairs.keep"


def test_one_pass_accepts_in_proportion_to_exp_of_the_reward():
    rewards, beta, draws = [1.0, 0.5, 0.0, -0.5], 0.5, 20000
    noise = np.random.default_rng(0)
    counts = Counter[int]()
    for _ in range(draws):
        counts.update(accepted(rewards[::-1], noise.random, keep=1, beta=beta))
    # candidates come from the worst to the best: the last one is always accepted, the others by chance before it
    chances = [math.exp((reward - 1.0) / beta) for reward in rewards[::-1]]
    left = 1.0
    for place, chance in enumerate(chances):
        assert counts[place] / draws == pytest.approx(left * chance, abs=0.015)
        left *= 1 - chance


def test_what_stays_lies_between_any_response_and_the_best_ones():
    noise = np.random.default_rng(1)
    lists = [noise.normal(size=64).tolist() for _ in range(50)]

    def mean(beta):
        return fmean(
            fmean(rejection_sampling(one, (place, 7), beta=beta)[1]) for place, one in enumerate(lists)
        )

    top = fmean(fmean(sorted(one)[-8:]) for one in lists)
    assert mean(1e6) == pytest.approx(0, abs=0.2)
    assert mean(1e6) < mean(0.5) < mean(1e-6)
    assert mean(1e-6) == pytest.approx(top)
    assert rejection_sampling(lists[0], (3, 4)) == rejection_sampling(lists[0], (3, 4))
