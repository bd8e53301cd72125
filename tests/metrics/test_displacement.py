"""Displacement and the gradients behind it, against the vectors and finite differences."""

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from alignlab.metrics.displacement import displaced, displacement, dpo_gradients
from tests.vectors import FILE, needs_vectors, tensor

PROBABILITY = st.floats(1e-4, 0.9)


def vector(name):
    return json.loads(FILE.with_name("vectors_b.json").read_text(encoding="utf-8"))[name]


@needs_vectors
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


@needs_vectors
def test_the_vector_of_3d_properties():
    told, expected = (vector("D2_3d")[side] for side in ("inputs", "outputs"))
    sides = tensor([told["pi_plus"]]), tensor([told["pi_minus"]])
    chosen, rejected = (g.item() for g in dpo_gradients(*sides, beta=told["beta"], alpha=told["alpha"]))
    found = {"d_pi_plus": chosen, "d_pi_minus": rejected, "ratio_minus_over_plus": rejected / chosen}
    assert found == pytest.approx(expected, abs=1e-9)


@settings(max_examples=50, deadline=None)
@given(chosen=PROBABILITY, rejected=PROBABILITY, beta=st.floats(0.05, 1), alpha=st.floats(0.2, 5))
def test_gradients_are_those_of_the_dpo_loss(chosen, rejected, beta, alpha):
    sides = [tensor([value]).requires_grad_() for value in (chosen, rejected)]
    logits = beta * (sides[0].log() - sides[1].log()) - torch.log(tensor([alpha]))
    expected = torch.autograd.grad(-torch.nn.functional.logsigmoid(logits).sum(), sides)
    found = dpo_gradients(tensor([chosen]), tensor([rejected]), beta=beta, alpha=alpha)
    torch.testing.assert_close(found, expected, atol=1e-9, rtol=1e-9)
    assert (found[1] / found[0]).item() == pytest.approx(-chosen / rejected)


def test_as_rejected_vanishes_the_push_on_it_grows_and_the_pull_on_chosen_dies():
    rejected = tensor([1e-2, 1e-4, 1e-6])
    pull, push = dpo_gradients(torch.full_like(rejected, 0.1), rejected, beta=0.1)
    assert (push.diff() > 0).all()
    assert (pull.abs().diff() < 0).all()
