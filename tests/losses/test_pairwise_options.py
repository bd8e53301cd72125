"""Options of the pairwise losses, and where each loss stands still, is finite or has its best margin."""

import inspect
import math

import pytest
import torch
from torch.testing import assert_close

from alignlab import ConfigError, load_objective
from alignlab.modifiers.dynamic_beta import scaled_beta
from alignlab.modifiers.ld import ld_sums
from tests.losses.calls import NAMES, P, call, gradients, random_pairs, with_logratios

ONES = torch.ones(P, dtype=torch.float64)


@pytest.mark.parametrize(
    ("name", "hyper", "words"),
    [
        ("cpo", {"nll": "seqsum"}, ["nll=seqsum", "'seq_sum'?"]),
        ("orpo", {"nll": "seq_men"}, ["nll=seq_men", "'seq_mean'?"]),
        ("dpop", {"penalty": "outsid"}, ["penalty=outsid", "'outside'?"]),
        ("rpo", {"normalization": "sumbeta"}, ["normalization=sumbeta", "'sum_beta'?"]),
        ("f_dpo", {"divergence": "forwardkl"}, ["divergence=forwardkl", "'forward_kl'?"]),
        ("f_dpo", {"alpha": 0.0}, ["alpha=0.0", "a share above 0, up to 1"]),
        ("sppo", {"aggregate": "summ"}, ["aggregate=summ", "'sum'?"]),
        ("dove", {"prompt": "mean"}, ["prompt=mean", "none, sum"]),
        ("rationale_dpo", {"form": "nl"}, ["form=nl", "'nll'?"]),
        ("mrpo", {"alpha": "adaptiv"}, ["alpha=adaptiv", "or adaptive"]),
        ("mrpo", {"alpha": 1.5}, ["alpha=1.5", "a share between 0 and 1"]),
        ("cdpo", {"epsilon": 0.7}, ["epsilon=0.7", "from 0 to 0.5"]),
        ("rdpo", {"epsilon": 0.5}, ["epsilon=0.5", "below 0.5"]),
        ("exo", {"epsilon": 0.0}, ["epsilon=0.0", "above 0, up to 0.5"]),
    ],
)
def test_wrong_option(name, hyper, words):
    with pytest.raises(ConfigError) as error:
        call(name, random_pairs(), **hyper)
    assert all(word in str(error.value) for word in words), str(error.value)


def assert_same(signals, one, other, other_signals=None):
    other_signals = other_signals or signals
    first, second = call(one[0], signals, **one[1]), call(other[0], other_signals, **other[1])
    assert_close(first, second, rtol=1e-7, atol=1e-9)
    slopes, expected = gradients(first, signals), gradients(second, other_signals)
    zero = torch.zeros(())
    for name in slopes.keys() | expected.keys():
        got, want = slopes.get(name, zero), expected.get(name, zero)
        assert_close(got + 0 * want, want + 0 * got, rtol=1e-6, atol=1e-9, check_dtype=False)


def test_no_gradient_through_the_strength_of_osp():
    strength = torch.linspace(-1, 1, P, dtype=torch.float64).requires_grad_()
    signals = random_pairs() | {"strength": strength}
    slopes = gradients(call("osp", signals), signals)
    assert "strength" not in slopes
    assert "chosen_logps" in slopes


def test_gpo_clamps_its_targets():
    signals = random_pairs() | {"chosen_rewards": 3 * ONES, "rejected_rewards": -3 * ONES}
    near = signals | {"chosen_rewards": ONES, "rejected_rewards": -ONES}
    assert_close(call("gpo", signals, beta=0.1, clamp=10.0), call("gpo", near, beta=0.1))


def test_mrpo_of_references_without_an_opinion():
    signals = random_pairs()
    for name in ("ref_logps", "other_ref_logps"):
        signals[f"rejected_{name}"] = signals[f"chosen_{name}"]
    assert_close(call("mrpo", signals), call("mrpo", signals, alpha=2 / 3))


def test_mrpo_of_three_references_against_the_closed_form():
    """1 / ref = sum of alpha_k / ref_k, the alphas in proportion to how far each reference tells both sides apart."""
    signals = random_pairs()
    sides = {}
    for side in ("chosen", "rejected"):
        others = signals[f"{side}_other_ref_logps"].unbind(1)
        sides[side] = torch.stack([signals[f"{side}_ref_logps"], *others])
    gaps = (sides["chosen"] - sides["rejected"]).abs()
    alphas = gaps / gaps.sum(0)
    chosen, rejected = (-(alphas / sides[side].exp()).sum(0).log() for side in ("chosen", "rejected"))
    margins = signals["chosen_logps"] - chosen - signals["rejected_logps"] + rejected
    assert_close(
        call("mrpo", signals, beta=0.3, epsilon=None), -(0.3 * margins).sigmoid().log(), rtol=1e-5, atol=1e-6
    )
    twice = {
        **signals,
        **{f"{side}_other_ref_logps": signals[f"{side}_other_ref_logps"][:, [0, 0]] for side in sides},
    }
    once = {
        **signals,
        **{f"{side}_other_ref_logps": signals[f"{side}_other_ref_logps"][:, :1] for side in sides},
    }
    assert_close(call("mrpo", twice, alpha=0.4, epsilon=None), call("mrpo", once, alpha=0.4, epsilon=None))
    with pytest.raises(ConfigError, match="crossed=True: expected false, since there are 3 references"):
        call("mrpo", signals, crossed=True)


def test_mrpo_keeps_the_other_references_near():
    """With epsilon 0 they are the first."""
    signals = with_logratios(random_pairs())
    assert_same(signals, ("mrpo", {"beta": 0.3, "epsilon": 0.0}), ("dpo", {"beta": 0.3}))


@pytest.mark.parametrize("name", ["minor_dpo", "dpop"])
def test_first_step_is_that_of_dpo(name):
    """Policy and reference are equal: both log-ratios stand on the kink."""
    signals = random_pairs()
    for side in ("chosen", "rejected"):
        signals[f"{side}_ref_logps"] = signals[f"{side}_logps"].detach()
    assert_same(with_logratios(signals), (name, {"beta": 0.3}), ("dpo", {"beta": 0.3}))


def test_minor_dpo_rests_below_the_reference():
    signals = random_pairs() | {"rejected_logratios": torch.linspace(-2, 2, P, dtype=torch.float64)}
    minor, plain = call("minor_dpo", signals), call("dpo", signals)
    above = signals["rejected_logratios"] > 0
    assert_close(minor[above], plain[above])
    assert (minor >= plain).all()


def test_dpop_with_its_penalty_outside():
    signals = random_pairs()
    fallen = (-signals["chosen_logratios"]).clamp(min=0)
    outside = call("dpop", signals, beta=0.3, lam=2.0, penalty="outside")
    assert_close(outside, call("dpo", signals, beta=0.3) + 2 * fallen)


def test_ld_dpo_on_the_policy_alone():
    signals = random_pairs()
    shared = torch.minimum(signals["chosen_lengths"], signals["rejected_lengths"])
    sides = [
        ld_sums(signals[f"{side}_token_logps"], shared, alpha=0.25) - signals[f"{side}_ref_logps"]
        for side in ("chosen", "rejected")
    ]
    expected = call("dpo", {"chosen_logratios": sides[0], "rejected_logratios": sides[1]}, beta=0.3)
    assert_close(call("ld_dpo", signals, beta=0.3, alpha=0.25, on_reference=False), expected)


def test_ld_dpo_has_no_gradient_beyond_the_shared_length_at_alpha_0():
    signals = random_pairs()
    slopes = gradients(call("ld_dpo", signals, alpha=0.0), signals)
    shared = torch.minimum(signals["chosen_lengths"], signals["rejected_lengths"])
    for side in ("chosen", "rejected"):
        beyond = torch.arange(6) >= shared[:, None]
        assert (slopes[f"{side}_token_logps"][beyond] == 0).all()


def test_chi_po_clips_its_margin():
    far = {"chosen_logratios": 9 * ONES, "rejected_logratios": -9 * ONES}
    assert_close(call("chi_po", far, clip=2.0), ONES * math.log1p(math.exp(-2.0)))
    assert (call("chi_po", far, clip=None) < 1e-9).all()


@pytest.mark.parametrize(
    ("name", "hyper"), [("cdpo", {"epsilon": 0.2}), ("osp", {}), ("exo", {"epsilon": 0.2})]
)
def test_the_best_margin_is_the_log_odds_of_the_label(name, hyper):
    best = torch.tensor([math.log(0.8 / 0.2)], dtype=torch.float64, requires_grad=True)
    signals = {
        "chosen_logratios": best,
        "rejected_logratios": torch.zeros_like(best),
        "strength": 0.6 * ONES[:1],
    }
    (slope,) = torch.autograd.grad(call(name, signals, beta=1.0, **hyper).sum(), best)
    assert slope.item() == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(("name", "sums"), [("cpo", 1.0), ("orpo", 1.0)])
def test_likelihood_terms(name, sums):
    signals = random_pairs()
    none, mean, total = (call(name, signals, nll=nll) for nll in ("none", "seq_mean", "seq_sum"))
    assert_close(total - none, -sums * signals["chosen_logps"])
    assert_close(mean - none, -signals["chosen_logps"] / signals["chosen_lengths"])


def test_orpo_of_a_certain_response_is_finite():
    """Every token has probability 1: the odds would be infinite."""
    zeros = torch.zeros(P, requires_grad=True)
    signals = {
        "chosen_logps": zeros,
        "rejected_logps": zeros,
        "chosen_lengths": zeros,
        "rejected_lengths": zeros,
    }
    values = call("orpo", {k: v if "logps" in k else v.detach() for k, v in signals.items()})
    (slope,) = torch.autograd.grad(values.sum(), zeros)
    assert values.isfinite().all()
    assert slope.isfinite().all()


def test_wpo_weights_are_bounded_and_carry_no_gradient():
    likely = random_pairs()
    for side in ("chosen", "rejected"):
        likely[f"{side}_log_collisions"] = 3 * likely[f"{side}_logps"].detach()
    assert_same(likely, ("wpo", {"beta": 0.3}), ("dpo", {"beta": 0.3}))
    free, clamped = call("wpo", likely, clamp_max=None), call("wpo", likely)
    assert (free > clamped).all()


def test_rainbow_po_weighs_certain_contexts_more():
    signals = random_pairs()
    half = {f"{side}_ref_entropy": 0.5 * ONES for side in ("chosen", "rejected")}
    phi = -0.29 * math.log(0.5)
    plain = call("rainbow_po", signals, beta=10.0 * phi, dispersion=False)
    assert_close(call("rainbow_po", signals | half, beta=10.0), plain)
    certain = dict.fromkeys(half, 0 * ONES)
    assert call("rainbow_po", signals | certain).isfinite().all()


def test_beta_of_mm_dpo_stays_above_its_floor():
    betas = scaled_beta(torch.tensor([-1e6, 0.0, 1e6]), beta=0.1, w=0.5, k=0.5)
    assert_close(betas, torch.tensor([1e-3, 0.1, 0.15]))
    assert_close(scaled_beta(torch.tensor([-1e6]), beta=0.1, w=0.0, k=0.5), torch.tensor([0.1]))


def takes_a_beta_a_pair(name):
    """Whether the loss says so of its beta (`PerPair`)."""
    beta = inspect.signature(load_objective(name).loss.function.func).parameters.get("beta")
    return beta is not None and beta.annotation is not float


@pytest.mark.parametrize("name", [name for name in NAMES if takes_a_beta_a_pair(name)])
def test_beta_may_differ_from_pair_to_pair(name):
    signals = random_pairs()
    betas = torch.linspace(0.2, 0.6, P, dtype=torch.float64)
    each = torch.stack([call(name, signals, beta=beta.item())[i] for i, beta in enumerate(betas)])
    assert_close(call(name, signals, betas=betas), each)
