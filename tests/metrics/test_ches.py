"""CHES scores: the vector and the identities of the paper."""

import pytest

from alignlab.metrics.ches import ches
from tests.vectors import more, tensor


def test_vector():
    case = more()["A14_ches"]
    chosen, rejected = tensor(case["inputs"]["h_pref"]), tensor(case["inputs"]["h_disp"])
    found = {
        "ches": ches(chosen.sum(0), rejected.sum(0)).item(),
        "ln_ches": ches(chosen.mean(0), rejected.mean(0)).item(),
        "self_ches": ches(chosen.sum(0), chosen.sum(0)).item(),
    }
    assert found == pytest.approx(case["outputs"], abs=1e-9)


def test_orthogonal_responses_have_the_lowest_score_without_opposition():
    assert ches(tensor([0.0, 3.0]), tensor([5.0, 0.0])).item() == -9
