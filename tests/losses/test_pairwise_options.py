"""Options, reductions and extremes of the pairwise losses."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from alignlab import ConfigError
from alignlab.losses.pairs.dynamic import dynamic_beta
from alignlab.losses.pairs.tokens import ld_sums
from alignlab.objective.load import read_choice
from alignlab.signals import contract
from tests.losses.calls import (
    NAMES,
    P,
    bound,
    call,
    gradients,
    hyper_of,
    random_pairs,
    with_logratios,
)

SEEDS = given(st.integers(0, 10**6))
SETTINGS = settings(max_examples=10, deadline=None)
ONES = torch.ones(P, dtype=torch.float64)


@pytest.mark.parametrize("name", NAMES)
def test_yaml_holds_the_defaults_of_the_function(name):
    loss = read_choice("objective", name)["loss"]
    assert {k: v for k, v in loss.items() if k != "_target_"} == hyper_of(name)


@pytest.mark.parametrize(
    ("name", "hyper", "words"),
    [
        ("cpo", {"nll": "seqsum"}, ["nll=seqsum", "'seq_sum'?"]),
        ("orpo", {"nll": "seq_men"}, ["nll=seq_men", "'seq_mean'?"]),
        ("dpop", {"penalty": "outsid"}, ["penalty=outsid", "'outside'?"]),
        ("rpo", {"normalization": "sumbeta"}, ["normalization=sumbeta", "'sum_beta'?"]),
        ("f_dpo", {"divergence": "forwardkl"}, ["divergence=forwardkl", "'forward_kl'?"]),
        ("f_dpo", {"alpha": 0.0}, ["alpha=0.0", "0 < alpha <= 1"]),
        ("sppo", {"aggregate": "summ"}, ["aggregate=summ", "'sum'?"]),
        ("dove", {"prompt": "mean"}, ["prompt=mean", "none, sum"]),
        ("rationale_dpo", {"form": "nl"}, ["form=nl", "'nll'?"]),
        ("mrpo", {"alpha": "adaptiv"}, ["alpha=adaptiv", "'adaptive'?"]),
        ("mrpo", {"alpha": 1.5}, ["alpha=1.5", "[0, 1]"]),
        ("cdpo", {"epsilon": 0.7}, ["epsilon=0.7", "[0, 0.5]"]),
        ("rdpo", {"epsilon": 0.5}, ["epsilon=0.5", "[0, 0.5)"]),
        ("exo", {"epsilon": 0.0}, ["epsilon=0.0", "(0, 0.5]"]),
    ],
)
def test_wrong_option(name, hyper, words):
    with pytest.raises(ConfigError) as error:
        call(name, random_pairs(), **hyper)
    assert all(word in str(error.value) for word in words), str(error.value)


# What a loss with some hyper-parameters is: another loss, values and gradients.
REDUCTIONS = {
    "cdpo of sure labels": (("cdpo", {"beta": 0.3, "epsilon": 0.0}), ("dpo", {"beta": 0.3})),
    "rdpo of sure labels": (("rdpo", {"beta": 0.3, "epsilon": 0.0}), ("dpo", {"beta": 0.3})),
    "dpop without its penalty": (("dpop", {"beta": 0.3, "lam": 0.0}), ("dpo", {"beta": 0.3})),
    "dpop without its outer penalty": (
        ("dpop", {"beta": 0.3, "lam": 0.0, "penalty": "outside"}),
        ("dpo", {"beta": 0.3}),
    ),
    "rpo without likelihood": (("rpo", {"beta": 0.3, "eta": 0.0}), ("dpo", {"beta": 0.3})),
    "r_dpo without lengths": (("r_dpo", {"beta": 0.3, "alpha": 0.0}), ("dpo", {"beta": 0.3})),
    "flex_dpo of equal betas": (("flex_dpo", {"beta_plus": 0.3, "beta_minus": 0.3}), ("dpo", {"beta": 0.3})),
    "tdpo2 without divergences": (("tdpo2", {"beta": 0.3, "alpha": 0.0}), ("dpo", {"beta": 0.3})),
    "reverse f_dpo": (("f_dpo", {"beta": 0.3, "divergence": "reverse_kl"}), ("dpo", {"beta": 0.3})),
    "alpha f_dpo at 0": (
        ("f_dpo", {"beta": 0.3, "divergence": "alpha", "alpha": 1e-9}),
        ("dpo", {"beta": 0.3}),
    ),
    "alpha f_dpo at 1": (
        ("f_dpo", {"divergence": "alpha", "alpha": 1.0}),
        ("f_dpo", {"divergence": "forward_kl"}),
    ),
    "dove of one prompt": (("dove", {"beta": 0.3}), ("dpo", {"beta": 0.3})),
    "mm_dpo without rewards": (("mm_dpo", {"beta": 0.3, "w": 0.0}), ("dpo", {"beta": 0.3})),
    "mrpo of one reference": (("mrpo", {"beta": 0.3, "alpha": 0.0}), ("dpo", {"beta": 0.3})),
    "rationale_dpo without a rationale": (
        ("rationale_dpo", {"beta": 0.3, "gamma": 0.0}),
        ("dpo", {"beta": 0.3}),
    ),
    "cpo without likelihood": (("cpo", {"alpha": 0.0}), ("cpo", {"nll": "none"})),
    "rainbow_po, whole reference": (
        ("rainbow_po", {"beta": 2.0, "alpha": 1.0, "dispersion": False}),
        ("ln_dpo", {"beta": 2.0}),
    ),
    "rainbow_po, no reference": (
        ("rainbow_po", {"beta": 2.0, "alpha": 0.0, "gamma": 0.3, "dispersion": False}),
        ("simpo", {"beta": 2.0, "gamma": 0.6}),
    ),
}


def assert_same(signals, one, other, other_signals=None):
    other_signals = other_signals or signals
    first, second = call(one[0], signals, **one[1]), call(other[0], other_signals, **other[1])
    assert_close(first, second, rtol=1e-7, atol=1e-9)
    slopes, expected = gradients(first, signals), gradients(second, other_signals)
    zero = torch.zeros(())
    for name in slopes.keys() | expected.keys():
        got, want = slopes.get(name, zero), expected.get(name, zero)
        assert_close(got + 0 * want, want + 0 * got, rtol=1e-6, atol=1e-9, check_dtype=False)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@SETTINGS
@SEEDS
def test_reductions(reduction, seed):
    assert_same(random_pairs(seed), *REDUCTIONS[reduction])


@SETTINGS
@SEEDS
def test_osp_of_certain_and_of_smoothed_labels(seed):
    signals = random_pairs(seed)
    assert_same(signals | {"strength": ONES}, ("osp", {"beta": 0.3}), ("dpo", {"beta": 0.3}))
    assert_same(
        signals | {"strength": 0.8 * ONES}, ("osp", {"beta": 0.3}), ("cdpo", {"beta": 0.3, "epsilon": 0.1})
    )


def test_no_gradient_through_the_strength_of_osp():
    strength = torch.linspace(-1, 1, P, dtype=torch.float64).requires_grad_()
    signals = random_pairs() | {"strength": strength}
    slopes = gradients(call("osp", signals), signals)
    assert "strength" not in slopes
    assert "chosen_logps" in slopes


@SETTINGS
@SEEDS
def test_ld_dpo_with_whole_weights_is_dpo(seed):
    signals = random_pairs(seed)
    values = call("ld_dpo", signals, beta=0.3, alpha=1.0)
    assert_close(values, call("dpo", signals, beta=0.3))


@SETTINGS
@SEEDS
def test_tdpo2_of_alpha_1_has_the_value_of_tdpo1_and_other_gradients(seed):
    signals = random_pairs(seed)
    first, second = call("tdpo1", signals), call("tdpo2", signals, alpha=1.0)
    assert_close(first, second)
    assert "chosen_kl_forward" in gradients(first, signals)
    assert "chosen_kl_forward" not in gradients(second, signals)


@SETTINGS
@SEEDS
def test_sppo_gpo_and_hard_labels(seed):
    signals = random_pairs(seed)
    scores = {f"{side}_rewards": signals[f"{side}_labels"] - 0.5 for side in ("chosen", "rejected")}
    assert_same(signals | scores, ("gpo", {"beta": 0.1}), ("sppo", {"beta": 0.1}))
    certain = signals | {"chosen_labels": ONES, "rejected_labels": 0 * ONES}
    soft, hard = call("sppo", certain, beta=0.1), call("sppo", signals, beta=0.1, hard=True, aggregate="sum")
    assert_close(2 * soft, hard)


def test_gpo_clamps_its_targets():
    signals = random_pairs() | {"chosen_rewards": 3 * ONES, "rejected_rewards": -3 * ONES}
    near = signals | {"chosen_rewards": ONES, "rejected_rewards": -ONES}
    assert_close(call("gpo", signals, beta=0.1, clamp=10.0), call("gpo", near, beta=0.1))


@SETTINGS
@SEEDS
def test_mrpo_of_equal_references_is_dpo(seed):
    signals = random_pairs(seed)
    for side in ("chosen", "rejected"):
        signals[f"{side}_ref2_logps"] = signals[f"{side}_ref_logps"]
    for hyper in ({}, {"alpha": 0.3}, {"crossed": True}, {"epsilon": None}):
        assert_same(signals, ("mrpo", {"beta": 0.3, **hyper}), ("dpo", {"beta": 0.3}))


def test_mrpo_of_references_without_an_opinion():
    signals = random_pairs()
    for name in ("ref_logps", "ref2_logps"):
        signals[f"rejected_{name}"] = signals[f"chosen_{name}"]
    assert_close(call("mrpo", signals), call("mrpo", signals, alpha=0.5))


def test_mrpo_keeps_the_second_reference_near():
    """With epsilon 0 it is the first."""
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


def test_apo_zero_is_kto_on_both_sides_with_z0_0():
    signals = random_pairs()
    desirable = 1 - torch.sigmoid(0.3 * signals["chosen_logratios"])
    undesirable = 1 - torch.sigmoid(-0.3 * signals["rejected_logratios"])
    assert_close(call("apo_zero", signals, beta=0.3), desirable + undesirable)


def test_discopop_of_a_wide_gate_is_the_mean_of_two_losses():
    signals = random_pairs()
    margins = 0.3 * (signals["chosen_logratios"] - signals["rejected_logratios"])
    expected = (torch.log1p(torch.exp(-margins)) + torch.exp(-margins)) / 2
    assert_close(call("discopop", signals, beta=0.3, tau=1e12), expected)


def test_chi_po_near_the_reference_is_dpo_of_twice_beta():
    signals = {name: 1e-6 * value for name, value in random_pairs().items()}
    assert_close(call("chi_po", signals, beta=0.3), call("dpo", signals, beta=0.6), rtol=1e-9, atol=1e-9)


def test_chi_po_clips_its_margin():
    far = {"chosen_logratios": 9 * ONES, "rejected_logratios": -9 * ONES}
    assert_close(call("chi_po", far, clip=2.0), ONES * math.log1p(math.exp(-2.0)))
    assert (call("chi_po", far, clip=None) < 1e-9).all()


@SETTINGS
@SEEDS
def test_exo_is_a_divergence(seed):
    assert (call("exo", random_pairs(seed)) >= 0).all()


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
    betas = dynamic_beta(torch.tensor([-1e6, 0.0, 1e6]), beta=0.1, w=0.5, k=0.5)
    assert_close(betas, torch.tensor([1e-3, 0.1, 0.15]))
    assert_close(dynamic_beta(torch.tensor([-1e6]), beta=0.1, w=0.0, k=0.5), torch.tensor([0.1]))


def test_dove_of_one_prompt_is_dpo():
    signals = random_pairs()
    for name in ("prompt_logps", "ref_prompt_logps"):
        signals[f"rejected_{name}"] = signals[f"chosen_{name}"]
    assert_close(call("dove", signals, prompt="sum"), call("dpo", signals))


@pytest.mark.parametrize("name", [n for n in NAMES if "beta" in hyper_of(n) and n != "mm_dpo"])
def test_beta_may_differ_from_pair_to_pair(name):
    signals = random_pairs()
    betas = torch.linspace(0.2, 0.6, P, dtype=torch.float64)
    loss = bound(name)
    given = [signals[wanted] for wanted in contract(loss, name).signals]
    each = torch.stack([call(name, signals, beta=beta.item())[i] for i, beta in enumerate(betas)])
    assert_close(loss(*given, beta=betas), each)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("side", ["chosen", "rejected", "both"])
@pytest.mark.parametrize("name", NAMES)
def test_huge_log_ratios_are_finite(name, side, sign, dtype):
    """Policy or reference gives one side, or each its own, some -1e5 nats."""
    signals = random_pairs(dtype=dtype)
    for which, up in (("chosen", sign), ("rejected", -sign)):
        if side in (which, "both"):
            model = "ref_" if up > 0 else ""
            for prefix in ("", "token_"):
                old = signals[f"{which}_{prefix}{model}logps"].detach()
                lowest = -1e5 * torch.ones_like(old)
                wide = lowest if prefix == "" else torch.cat([lowest[:, :1], old[:, 1:]], dim=1)
                signals[f"{which}_{prefix}{model}logps"] = wide.requires_grad_(model == "")
    signals = with_logratios(signals)
    for hyper in EXTREMES.get(name, [{}]):
        values = call(name, signals, **hyper)
        assert values.isfinite().all(), hyper
        for slope in gradients(values, signals).values():
            assert slope.isfinite().all(), hyper


EXTREMES = {
    "f_dpo": [{"divergence": d} for d in ("reverse_kl", "forward_kl", "js", "alpha")],
    "chi_po": [{}, {"clip": None}],
    "discopop": [{}, {"beta": 1.0, "tau": 100.0}],
    "mrpo": [{}, {"alpha": 0.0, "epsilon": None}, {"alpha": 1.0}, {"epsilon": None}, {"crossed": True}],
    "wpo": [{}, {"normalizer": False, "clamp_max": None}],
    "orpo": [{"nll": "none"}, {}],
    "ipo": [{}, {"aggregate": "sum"}],
    "slic": [{}, {"aggregate": "mean"}],
    "dpop": [{}, {"penalty": "outside"}],
    "rationale_dpo": [{}, {"form": "logsigmoid"}],
    "dove": [{}, {"prompt": "sum"}],
    "exo": [{}, {"beta": 1.0}],
}
