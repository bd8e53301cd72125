"""Objectives that are others at some settings (`reductions.py`), in value and gradient; and bounds between them."""

import math

import pytest
import torch
from torch.testing import assert_close

from alignlab import load_objective
from alignlab.objective.load import read_choice
from alignlab.objective.reductions import BETA, REDUCTIONS
from tests.invariants.batches import policy_leaves, pool, take, wanted_by
from tests.invariants.cases import OBJECTIVES, bound

CONDITIONS = {
    "": lambda s: {},
    "a response is one step": lambda s: {
        "step_lengths": s["lengths"][..., None],
        "step_cosines": s["step_cosines"][..., :1],
    },
    "a response is one token": lambda s: {
        "lengths": torch.ones_like(s["lengths"]),
        "logps": s["token_logps"][..., 0],
        "ref_logps": s["token_ref_logps"][..., 0],
    },
    "a step is one pair": lambda s: take(s, [0]),
    "both references are one": lambda s: {"other_ref_logps": s["ref_logps"][..., None]},
    "divergences are 0": lambda s: {"token_kl_forward": torch.zeros_like(s["token_kl_forward"])},
    "log-ratios are near 0": lambda s: {"ref_logps": s["logps"] + 1e-8 * (s["ref_logps"] - s["logps"])},
    "other prompts' responses are at their reference": lambda s: {
        "mismatched_logps": s["mismatched_ref_logps"]
    },
    "responses are as likely as samples": lambda s: {"log_collisions": s["logps"]},
    "the labels are .9 and .1": lambda s: {"labels": 0.1 + 0.8 * s["labels"]},
    "the prompt is shared": lambda s: {
        name: s[name][:, :1].expand(-1, 2) for name in ("prompt_logps", "ref_prompt_logps")
    },
    "the reference is uniform": lambda s: {"ref_logps": torch.full_like(s["ref_logps"], -7.0)},
    "the rejected response is above its reference": lambda s: {
        "ref_logps": torch.where(s["labels"] == 0, s["logps"] - 1, s["ref_logps"])
    },
    "the reference prefers the chosen response": lambda s: {
        "ref_logps": s["ref_logps"].clamp(-9, -5) + 10 * (s["labels"] - 1)
    },
    "the rewards are equal": lambda s: {"rewards": torch.ones_like(s["rewards"])},
    "the rewards are the labels less 1/2": lambda s: {"rewards": s["labels"] - 0.5},
}


def pairs(where="", seed=0):
    """Every signal, of pairs labelled 1 and 0, for which this holds."""
    signals = pool(lists=4, width=2, seed=seed)
    signals["labels"] = torch.tensor([[1.0, 0.0], [0.0, 1.0]] * 2, dtype=torch.float64)
    signals["where"] = torch.ones_like(signals["where"])
    return signals | CONDITIONS[where](signals)


def linked(leaves):
    """Sums over the tokens of a response as such, so that what sees sums and what sees tokens can be compared."""
    inside = torch.arange(leaves["token_logps"].shape[2]) < leaves["lengths"][..., None]
    sums = {name: (leaves[f"token_{name}"] * inside).sum(dim=2) for name in ("logps", "kl_forward")}
    if leaves["step_lengths"].shape[2] == 1:
        sums["step_logratios"] = (sums["logps"] - leaves["ref_logps"])[..., None]
    return leaves | sums


def evaluate(name, hyper, where="", seed=0):
    """The loss, and its gradient by every leaf that it reaches."""
    beta = {"beta": BETA} if "beta" in read_choice("objective", name)["loss"] else {}
    objective, leaves = bound(load_objective(name, **{**beta, **hyper})), policy_leaves(pairs(where, seed))
    loss = objective(**wanted_by(objective, linked(leaves))).loss
    wanted = {key: leaf for key, leaf in leaves.items() if leaf.requires_grad}
    slopes = torch.autograd.grad(loss, list(wanted.values()), allow_unused=True)
    return loss.detach(), {k: v for k, v in zip(wanted, slopes, strict=True) if v is not None}


def title(reduction):
    return f"{reduction.name} {dict(reduction.hyper)} is {reduction.other} {reduction.where}"


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("reduction", REDUCTIONS, ids=title)
def test_reduction(reduction, seed):
    name, hyper, other, other_hyper, factor, where = reduction
    loss, slopes = evaluate(name, hyper, where, seed)
    expected, expected_slopes = evaluate(other, other_hyper, where, seed)
    assert_close(loss, factor * expected)
    assert {"token_logps", "values"} & set(slopes) & set(expected_slopes)
    for key in set(slopes) | set(expected_slopes):
        if key in slopes and key in expected_slopes:
            assert_close(slopes[key], factor * expected_slopes[key])
        elif not where:  # else what one of them does not see may have a slope
            assert_close(slopes.get(key, 0 * pairs()[key]), expected_slopes.get(key, 0 * pairs()[key]))


def test_table_names_objectives():
    assert {r.name for r in REDUCTIONS} | {r.other for r in REDUCTIONS} <= set(OBJECTIVES)
    assert {r.where for r in REDUCTIONS} == set(CONDITIONS)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("delta", ["batch", "running", "none"])
def test_bco_of_a_pair_is_no_less_than_dpo(delta, seed):
    assert 2 * evaluate("bco", {"delta": delta}, seed=seed)[0] >= evaluate("dpo", {}, seed=seed)[0]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", ["exo", "exo_list"])
def test_exo_is_a_divergence(name, seed):
    assert evaluate(name, {}, seed=seed)[0] >= 0


def test_tdpo2_without_its_damping_has_the_value_of_tdpo1_and_another_gradient():
    (loss, slopes), (expected, other) = evaluate("tdpo2", {"alpha": 1.0}), evaluate("tdpo1", {})
    assert_close(loss, expected)
    assert_close(slopes["token_logps"], other["token_logps"])
    chosen = pairs()["labels"] == 1
    assert (slopes["token_kl_forward"][chosen] == 0).all()
    assert_close(slopes["token_kl_forward"][~chosen], other["token_kl_forward"][~chosen])


def test_discopop_of_a_wide_gate_is_the_mean_of_logistic_and_exponential_loss():
    signals = pairs()
    sign = BETA * (2 * signals["labels"] - 1)
    margins = (sign * (signals["logps"] - signals["ref_logps"])).sum(dim=1)
    expected = (evaluate("dpo", {})[0] + torch.exp(-margins).mean()) / 2
    assert_close(evaluate("discopop", {"tau": 1e9})[0], expected)


@pytest.mark.parametrize("gain", ["exp2", "linear"])
def test_a_pair_in_lambda_counts_the_drop_of_the_discount(gain):
    loss, _ = evaluate("lipo_lambda", {"gain": gain, "normalize": True})
    drop = (1 / math.log(2) - 1 / math.log(3)) * math.log(2)  # over the ideal gain, 1 / ln 2
    assert_close(loss, drop * evaluate("dpo", {})[0])
