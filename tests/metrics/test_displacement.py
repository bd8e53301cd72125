"""Displacement, against the vector."""

import pytest
import torch

from alignlab.metrics.displacement import Mass, displaced, displacement, top_gaining
from tests.vectors import more, tensor


def vector(name):
    return more()[name]


def test_the_vector_of_displacement():
    told, expected = (vector("D3_displacement")[side] for side in ("inputs", "outputs"))
    unseen = torch.tensor(told["unseen"])
    found = displacement(
        tensor(told["before"]),
        tensor(told["after"]),
        chosen=told["chosen"],
        rejected=told["rejected"],
        unseen=unseen,
    )
    assert {
        "dlogp_chosen": found.chosen,
        "dlogp_rejected": found.rejected,
        "margin_change": found.margin,
        "mass_to_unseen": found.unseen_mass,
        "entropy_before": found.entropy_before,
        "entropy_after": found.entropy_after,
        "displaced": found.displaced,
        "top_gainer": found.top_gainer,
    } == pytest.approx(expected, abs=1e-9)


def test_displaced_means_a_fall_of_chosen_under_a_growing_margin():
    chosen, rejected = tensor([-1.0, -1.0, 1.0, 0.0]), tensor([-2.0, -0.5, 0.5, -1.0])
    assert displaced(chosen, rejected).tolist() == [True, False, False, False]


def test_top_gaining_tokens_are_those_that_gained():
    before, after = (Mass(0.5, tensor(values), 3) for values in ([0.1, 0.2, 0.1, 0.1], [0.2, 0.1, 0.4, 0.1]))
    assert top_gaining(before, after, 10).tolist() == [2, 0]
    assert top_gaining(before, after, 1).tolist() == [2]
    assert top_gaining(before, before, 3).tolist() == []
