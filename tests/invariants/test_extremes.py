"""Finite values and gradients where there is nothing to learn from, and far from the reference."""

import pytest
import torch

from alignlab.objective.numeric import log1mexp
from tests.invariants.batches import (
    absent,
    at_start,
    far,
    is_score,
    loss_and_gradients,
    random_signals,
)
from tests.invariants.cases import CASES, OBJECTIVES, PAIRWISE, build

both_dtypes = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])


def assert_finite(case, signals):
    """Loss and gradients, which it returns; in whatever precision the signals have."""
    dtype = next(value.dtype for value in signals.values() if value.is_floating_point())
    loss, slopes = loss_and_gradients(build(case, dtype=dtype), signals)
    assert loss.isfinite()
    for slope in slopes.values():
        assert slope.isfinite().all()
    return loss, slopes


def needs_others(case):
    """Whether it is a loss that compares the responses of a list, and of nothing else."""
    alone = case.startswith("grpo") and "beta" in build(case).loss.function.keywords  # the divergence
    return (
        case.split()[0] in OBJECTIVES
        and build(case).data_form != "single"
        and not alone
        and "thresh" not in case
    )


@pytest.mark.parametrize("case", CASES)
def test_no_response_at_all_is_a_zero_with_its_graph(case):
    """A rank whose micro-batch holds nothing still takes part in the backward."""
    signals = random_signals(build(case))
    signals["where"] = torch.zeros_like(signals["where"])
    loss, slopes = assert_finite(case, signals)
    assert loss == 0
    for slope in slopes.values():
        assert (slope == 0).all()


@pytest.mark.parametrize("case", CASES)
def test_equal_labels(case):
    signals = random_signals(build(case))
    if "labels" in signals:
        signals["labels"] = torch.full_like(signals["labels"], 0.5)
    loss, slopes = assert_finite(case, signals)
    if case in PAIRWISE:  # there is no pair
        assert loss == 0
        for slope in slopes.values():
            assert (slope == 0).all()


@pytest.mark.parametrize("case", [c for c in CASES if needs_others(c)])
def test_a_lone_response_teaches_nothing(case):
    loss, slopes = assert_finite(case, random_signals(build(case), width=1))
    assert loss == 0
    for slope in slopes.values():
        assert (slope == 0).all()


@pytest.mark.parametrize("case", CASES)
def test_ties_of_some_labels_and_of_all_scores(case):
    """Where policy and reference are one, too: every log-ratio and divergence is 0."""
    signals = random_signals(build(case), width=4)
    if "labels" in signals:
        signals["labels"] = signals["labels"].round()
    assert_finite(case, at_start(signals))
    scores = {name: torch.full_like(value, -1) for name, value in signals.items() if name.endswith("logps")}
    assert_finite(case, signals | scores)


@pytest.mark.parametrize(
    ("scale", "dtype"), [(1e3, torch.float32), (1e5, torch.float32), (1e5, torch.float64)], ids=str
)
@pytest.mark.parametrize("case", CASES)
def test_huge_log_ratios(case, dtype, scale):
    """Of both signs, for and against the labels."""
    for first in (0, 1):
        assert_finite(case, far(random_signals(build(case), dtype=dtype), scale, first))


@both_dtypes
@pytest.mark.parametrize("case", CASES)
def test_sure_responses(case, dtype):
    """A policy, and a reference, that give a response all of the probability."""
    signals = random_signals(build(case), dtype=dtype)
    for sure in (is_score, lambda name: "ref" in name):
        certain = {
            name: torch.zeros_like(value)
            for name, value in signals.items()
            if sure(name) and (name.endswith("logps") or name in ("entropy", "log_collisions", "ref_entropy"))
        }
        assert_finite(case, signals | certain)


@pytest.mark.parametrize("case", CASES)
def test_responses_without_tokens(case):
    signals = random_signals(build(case))
    if "lengths" in signals:
        signals["lengths"] = signals["lengths"] * torch.tensor([0.0, 1, 0, 0])[:, None]
    if "step_lengths" in signals:
        signals["step_lengths"] = signals["step_lengths"] * torch.tensor([0.0, 1, 0, 0])[:, None, None]
    _, slopes = assert_finite(case, signals)
    for name, slope in slopes.items():
        assert (slope[absent(name, signals)] == 0).all()


@both_dtypes
def test_log1mexp_near_both_ends(dtype):
    x = -torch.logspace(-30, 5, 71, dtype=dtype)
    x.requires_grad_()
    values = log1mexp(x)
    (slope,) = torch.autograd.grad(values.sum(), x)
    assert values.isfinite().all()
    assert slope.isfinite().all()
    torch.testing.assert_close(slope, -1 / torch.expm1(-x.detach()))
