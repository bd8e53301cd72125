"""Modifiers: alone, together, in the objectives that are a loss under one of them, and where they cannot work."""

import itertools
import math
from functools import partial

import pytest
import torch
from torch.testing import assert_close

from alignlab import load_objective
from alignlab.errors import ConfigError
from alignlab.losses.pairs.dpo import dpo
from alignlab.modifiers.dynamic_beta import scaled_beta
from alignlab.modifiers.wpo import pair_weights
from alignlab.places import choices
from tests.vectors import given, tensor

NEUTRAL = {
    "label_smoothing": {"epsilon": 0.0},
    "wpo": {"clamp_max": 0.0},
    "ld": {"alpha": 1.0},
    "dynamic_beta": {"w": 0.0},
}
OF_LISTS = {"truncated_is"}
"""Modifiers of lists (`tests/losses/test_policy_gradient_vectors.py`)."""


def signals(lists=4, longest=7, dtype=torch.float64):
    """Pairs whose sums fit their tokens; the second response is better in every other list."""
    rng = torch.Generator().manual_seed(0)

    def uniform(low, high, *rest):
        return (low + (high - low) * torch.rand(lists, 2, *rest, generator=rng, dtype=torch.float64)).to(
            dtype
        )

    lengths = uniform(1, longest + 1).floor()
    tokens = torch.arange(longest) < lengths[..., None]
    leaf = (-uniform(0.5, 2.5, longest)).requires_grad_()
    token_logps, token_ref_logps = leaf * tokens, -uniform(0.5, 2.5, longest) * tokens
    return {
        "leaf": leaf,
        "lengths": lengths,
        "token_logps": token_logps,
        "token_ref_logps": token_ref_logps,
        "logps": token_logps.sum(dim=2),
        "ref_logps": token_ref_logps.sum(dim=2),
        "log_collisions": -lengths * uniform(0.5, 2),
        "rewards": uniform(-3, 3),
        "labels": tensor([[1.0, 0.0], [0.0, 1.0]] * (lists // 2), dtype),
    }


def run(objective, base):
    """Values of the loss, and the gradient of its mean by the policy's tokens."""
    outcome = objective(**given(objective, base))
    (gradient,) = torch.autograd.grad(outcome.loss, base["leaf"], retain_graph=True)
    return outcome.values[objective.name], gradient


def sides(base):
    """Log-ratios of the chosen and the rejected response of each list, and the rewards of both."""
    rows, chosen, rejected = torch.arange(4), base["labels"].argmax(dim=1), base["labels"].argmin(dim=1)
    ratios, rewards = base["logps"] - base["ref_logps"], base["rewards"]
    return ratios[rows, chosen], ratios[rows, rejected], (rewards[rows, chosen], rewards[rows, rejected])


COMPOSED = [
    ("cdpo", "label_smoothing", {"epsilon": 0.2}),
    ("wpo", "wpo", {"clamp_max": 0.5}),
    ("wpo", "wpo", {"clamp_max": None, "normalizer": False}),
    ("ld_dpo", "ld", {"alpha": 0.3, "on_reference": False}),
    ("mm_dpo", "dynamic_beta", {"w": 0.4, "k": 0.7}),
]


@pytest.mark.parametrize(("name", "modifier", "hyper"), COMPOSED)
def test_hyper_parameters_reach_the_modifier_of_the_objective(name, modifier, hyper):
    """`load_objective(name, beta=..., epsilon=...)` sets the loss's beta and the modifier's epsilon."""
    base, settings = signals(), hyper | ({"beta": 0.5} if modifier == "dynamic_beta" else {})
    values, gradient = run(load_objective(name, beta=0.5, **hyper), base)
    expected, slopes = run(load_objective("dpo", beta=0.5, modifiers={modifier: settings}), base)
    assert_close(values, expected, rtol=1e-12, atol=1e-12)
    assert_close(gradient, slopes, rtol=1e-12, atol=1e-12)
    assert not torch.allclose(values, run(load_objective(name, beta=0.5), base)[0], rtol=1e-3)
    assert load_objective(name, beta=0.5, **hyper).reward.beta == 0.5


def test_mm_dpo_scales_the_beta_of_its_loss():
    base = signals()
    chosen, rejected, rewards = sides(base)
    growth = 1 - torch.exp(-0.5 * (rewards[0] - rewards[1]))
    betas = (0.3 * (1 + 0.5 * growth)).clamp(min=1e-3)
    values, _ = run(load_objective("mm_dpo", beta=0.3), base)
    assert_close(values, dpo(chosen, rejected, beta=betas))


def test_a_modifier_of_the_user_goes_around_those_of_the_objective():
    base = signals()
    values, _ = run(load_objective("ld_dpo", modifiers=["wpo"]), base)
    expected, _ = run(load_objective("dpo", modifiers=["ld", "wpo"]), base)
    assert_close(values, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "modifier"),
    [
        *itertools.product(["dpo", "simpo", "cdpo"], NEUTRAL),
        *itertools.product(["ipo", "slic"], sorted(NEUTRAL.keys() - {"dynamic_beta"})),
    ],
)
def test_neutral_settings_change_nothing(name, modifier):
    plain = load_objective(name)
    settings = NEUTRAL[modifier] | ({"beta": plain.reward.beta} if modifier == "dynamic_beta" else {})
    base = signals()
    modified = run(load_objective(name, modifiers={modifier: settings}), base)
    expected = run(plain, base)
    factor = 0.0 if modifier == "wpo" else 1.0  # a weight clamped at 0 takes the whole loss away
    for value, wanted in zip(modified, expected, strict=True):
        assert_close(value, factor * wanted, rtol=1e-12, atol=1e-12)


def test_the_last_modifier_is_the_outermost():
    """Outside, it gives both orders of a pair one beta; inside, the swapped pair has swapped rewards."""
    base = signals()
    chosen, rejected, rewards = sides(base)
    margins = rewards[0] - rewards[1]
    one, other = (scaled_beta(sign * margins, beta=0.5, w=0.5, k=0.5) for sign in (1, -1))
    straight, turned = (partial(dpo, chosen, rejected), partial(dpo, rejected, chosen))
    changes = {"label_smoothing": {"epsilon": 0.2}, "dynamic_beta": {"beta": 0.5}}
    values, _ = run(load_objective("dpo", modifiers=changes), base)
    assert_close(values, 0.8 * straight(beta=one) + 0.2 * turned(beta=one))
    values, _ = run(load_objective("dpo", modifiers=dict(reversed(changes.items()))), base)
    assert_close(values, 0.8 * straight(beta=one) + 0.2 * turned(beta=other))


def test_weights_and_desensitized_sums_together():
    base = signals()
    values, _ = run(load_objective("dpo", beta=0.5, modifiers=["ld", "wpo"]), base)
    weighted, _ = run(load_objective("wpo", beta=0.5), base)
    plain, _ = run(load_objective("dpo", beta=0.5), base)
    desensitized, _ = run(load_objective("ld_dpo", beta=0.5), base)
    assert_close(values, weighted / plain * desensitized)


def test_an_offset_joins_both_orders():
    base = signals()
    smoothed = load_objective("dpo", modifiers=["label_smoothing"], regularizers={"length": 2.0})
    for value, wanted in zip(
        run(smoothed, base), run(load_objective("cdpo", regularizers={"length": 2.0}), base), strict=True
    ):
        if value.dim() == 1:
            assert_close(value, wanted, rtol=1e-12, atol=1e-12)
    assert smoothed(**given(smoothed, base)).parts.keys() == {"dpo"}


def test_without_a_reference():
    objective = load_objective("cpo", modifiers={"ld": {"on_reference": False}})
    assert not objective.needs_reference
    assert load_objective("cpo", modifiers=["ld"]).needs_reference


@pytest.mark.parametrize(
    ("name", "modifiers", "message"),
    [
        ("ipo", ["dynamic_beta"], "loss 'ipo' has no beta that could differ from pair to pair"),
        ("dpo", {"label_smoothing": {"epsilon": 0.6}}, "epsilon=0.6: expected a rate of wrong labels"),
        ("dpo", {"ld": {"alpha": 1.5}}, "alpha=1.5: expected a share between 0 and 1"),
        ("dpo", {"ld": {"alfa": 0.5}}, "did you mean 'alpha'?"),
        ("dpo", ["label_smothing"], "did you mean 'label_smoothing'?"),
        ("list_mle", ["wpo"], "choose a pairwise objective"),
        ("reinforce_pp", ["label_smoothing"], "choose a pairwise objective"),
        ("dpo", ["truncated_is"], "'dpo' sees pairs"),
        ("list_mle", ["truncated_is"], "loss 'list_mle' takes no token_weights"),
        ("grpo", {"truncated_is": {"scores": "policy"}}, "scores=policy would count twice"),
        ("rloo", {"truncated_is": {"scores": "policy", "low": 0.5}}, "drop low and high"),
    ],
)
def test_what_cannot_work(name, modifiers, message):
    with pytest.raises(ConfigError) as error:
        load_objective(name, modifiers=modifiers)
    assert message in str(error.value)


def test_every_modifier_has_neutral_settings_here():
    assert set(choices("modifiers")) == set(NEUTRAL) | OF_LISTS


def test_the_clamp_of_wpo_is_on_the_product_of_the_two_weights():
    """One response more likely than a sample of the policy, and one less: each clamped alone, they would weigh less."""
    chosen, rejected, lengths = tensor([1.0, 1.0]), tensor([-4.0, -1.0]), tensor([2.0, 2.0])
    assert_close(pair_weights(chosen, rejected, lengths, lengths, clamp_max=1.0), tensor([-1.5, 0.0]).exp())
    assert_close(pair_weights(rejected, chosen, lengths, lengths, clamp_max=1.0), tensor([-1.5, 0.0]).exp())
    above = pair_weights(chosen, tensor([-0.4, 3.0]), lengths, lengths, clamp_max=1.5)
    assert_close(above, tensor([0.3, math.log(1.5)]).exp())
