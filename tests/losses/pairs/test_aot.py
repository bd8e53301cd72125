"""Alignment via optimal transport: the whole step is sorted, however it is cut."""

import math

import pytest
import torch
from torch.testing import assert_close

from alignlab.losses.pairs.aot import AOT, UnpairedAOT
from alignlab.losses.pairs.dpo import dpo
from alignlab.objective.gathered import Gathered, join
from tests.losses.calls import values_of
from tests.vectors import case, load, tensor

KINDS = {"aot": AOT, "aot_unpaired": UnpairedAOT}
every = pytest.mark.parametrize("name", KINDS)
SIZES = [[7], [1, 5, 1], [0, 7]]


def random_pairs(count=7, seed=0, dtype=torch.float64):
    """chosen and rejected log-probabilities under the policy and the reference."""
    generator = torch.Generator().manual_seed(seed)
    return [20 * torch.randn(count, generator=generator).to(dtype) for _ in range(4)]


def signals(name, chosen, rejected, chosen_ref, rejected_ref):
    """What `contribute` asks for, of which `forward` takes the first two."""
    if name == "aot":
        return [chosen, rejected, chosen_ref, rejected_ref]
    return [chosen - chosen_ref, rejected - rejected_ref]


def run(name, pairs, sizes=None, weights=None, **hyper):
    """Values of all pairs, the total by weights, and its gradients; cut into micro-batches of `sizes`."""
    loss = KINDS[name](**hyper)
    leaves = [x.clone().requires_grad_(i < 2) for i, x in enumerate(pairs)]
    weights = torch.ones_like(pairs[0]) if weights is None else weights.to(pairs[0].dtype)
    sizes = sizes or [len(weights)]
    cut = list(zip(*(x.split(sizes) for x in signals(name, *leaves)), strict=True))
    rows = [loss.contribute(*(x.detach() for x in part)) for part in cut]
    views = join([Gathered(r, w) for r, w in zip(rows, weights.split(sizes), strict=True)])
    values = torch.cat([values_of(loss(*part[:2], view)) for part, view in zip(cut, views, strict=True)])
    total = (weights * values).sum()
    return values.detach(), total.detach(), torch.autograd.grad(total, leaves[:2])


def sorted_loss(name, pairs, beta, epsilon=0.0):
    """The formula itself, on the whole step: its sum, and gradients."""
    leaves = [x.clone().requires_grad_(i < 2) for i, x in enumerate(pairs)]
    chosen, rejected, chosen_ref, rejected_ref = leaves
    sides = (chosen - rejected, chosen_ref - rejected_ref)
    if name == "aot_unpaired":
        sides = (chosen - chosen_ref, rejected - rejected_ref)
    margins = beta * (sides[0].sort().values - sides[1].sort().values)
    zeros = torch.zeros_like(margins)
    total = ((1 - epsilon) * dpo(margins, zeros, beta=1.0) + epsilon * dpo(zeros, margins, beta=1.0)).sum()
    return total.detach(), torch.autograd.grad(total, leaves[:2])


@every
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_vector(name, dtype):
    pair, expected = load()["fixtures"]["PAIR"], case(name)
    pairs = [tensor(pair[k], dtype) for k in ("logp_w", "logp_l", "ref_logp_w", "ref_logp_l")]
    exact = {"rtol": 1e-9, "atol": 1e-9} if dtype == torch.float64 else {"rtol": 1e-5, "atol": 1e-5}
    values, total, gradients = run(name, pairs, **expected["hparams"])
    assert_close(values.sort().values, tensor(expected["per_example"], dtype).sort().values, **exact)
    assert_close(total / 4, tensor(expected["loss"], dtype), **exact)
    for gradient, side in zip(gradients, "wl", strict=True):
        assert_close(gradient / 4, tensor(expected[f"grad_logp_{side}"], dtype), **exact)


@every
@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("epsilon", [0.0, 0.2])
def test_any_cut_is_the_whole(name, sizes, epsilon):
    pairs = random_pairs()
    values, total, gradients = run(name, pairs, sizes, beta=0.1, epsilon=epsilon)
    expected, expected_gradients = sorted_loss(name, pairs, 0.1, epsilon)
    assert_close(total, expected)
    for gradient, slope in zip(gradients, expected_gradients, strict=True):
        assert_close(gradient, slope)
    assert_close(values, run(name, pairs, beta=0.1, epsilon=epsilon)[0])


@every
def test_one_pair_is_dpo(name):
    pairs = random_pairs(1)
    values, _, gradients = run(name, pairs, beta=0.3)
    leaves = [x.clone().requires_grad_() for x in pairs]
    expected = dpo(leaves[0] - leaves[2], leaves[1] - leaves[3], beta=0.3)
    assert_close(values, expected.detach())
    for gradient, slope in zip(gradients, torch.autograd.grad(expected.sum(), leaves[:2]), strict=True):
        assert_close(gradient, slope)


@every
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_pairs_without_weight_take_no_part(name, sizes):
    pairs, weights = random_pairs(), tensor([1, 0, 1, 1, 0, 1, 0])
    _, total, gradients = run(name, pairs, sizes, weights, beta=0.1)
    expected, expected_gradients = sorted_loss(name, [x[weights > 0] for x in pairs], 0.1)
    assert_close(total, expected)
    for gradient, slope in zip(gradients, expected_gradients, strict=True):
        assert (gradient[weights == 0] == 0).all()
        assert_close(gradient[weights > 0], slope)


@every
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_weight_two_is_the_pair_twice(name, sizes):
    pairs, times = random_pairs(), torch.tensor([2, 1, 3, 1, 2, 1, 1])
    _, total, gradients = run(name, pairs, sizes, times, beta=0.1)
    copies = torch.arange(7).repeat_interleave(times)
    expected, slopes = sorted_loss(name, [x[copies] for x in pairs], 0.1)
    assert_close(total, expected)
    for gradient, slope in zip(gradients, slopes, strict=True):
        assert_close(gradient, torch.zeros_like(gradient).index_add(0, copies, slope))


@every
def test_fractional_weights_only_set_the_scale(name):
    pairs, weights = random_pairs(), torch.tensor([2.0, 1, 3, 1, 2, 1, 1]).double()
    _, total, gradients = run(name, pairs, weights=weights, beta=0.1)
    _, small, small_gradients = run(name, pairs, weights=weights / 7, beta=0.1)
    assert_close(small, total / 7)
    for gradient, slope in zip(small_gradients, gradients, strict=True):
        assert_close(gradient, slope / 7)


@every
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_ties(name, sizes):
    """Where the policy is its reference, every pair is worth ln 2."""
    chosen, rejected, *_ = random_pairs()
    values, _, gradients = run(name, [chosen, rejected, chosen, rejected], sizes, beta=0.1)
    assert_close(values, torch.full_like(values, math.log(2)))
    for gradient, sign in zip(gradients, (-1, 1), strict=True):
        assert_close(gradient, torch.full_like(gradient, sign * 0.05))
