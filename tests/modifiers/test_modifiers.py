"""Modifiers against the losses that hold the same change built in."""

import inspect
import itertools

import pytest
import torch
from torch.testing import assert_close

from alignlab import load_objective
from alignlab.errors import ConfigError
from alignlab.losses.pairs.dynamic import dynamic_beta
from alignlab.losses.pairs.noisy import cdpo
from alignlab.objective.load import read_choice
from alignlab.places import choices
from alignlab.targets import locate
from tests.vectors import case, given, pair_signals, tensor

MODIFIERS = choices("modifiers")
NEUTRAL = {
    "label_smoothing": {"epsilon": 0.0},
    "wpo": {"clamp_max": 0.0},
    "ld": {"alpha": 1.0},
    "dynamic_beta": {"w": 0.0},
}


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


TWINS = [
    ("label_smoothing", {"epsilon": 0.2}, "cdpo", {"epsilon": 0.2}),
    ("wpo", {"clamp_max": 0.5}, "wpo", {"clamp_max": 0.5}),
    ("wpo", {"clamp_max": None}, "wpo", {"clamp_max": None}),
    ("ld", {"alpha": 0.3}, "ld_dpo", {"alpha": 0.3}),
    ("ld", {"alpha": 0.3, "on_reference": False}, "ld_dpo", {"alpha": 0.3, "on_reference": False}),
    ("dynamic_beta", {"beta": 0.5, "w": 0.4, "k": 0.7}, "mm_dpo", {"beta": 0.5, "w": 0.4, "k": 0.7}),
]


@pytest.mark.parametrize(("modifier", "settings", "twin", "hyper"), TWINS)
def test_on_dpo_it_is_the_objective_of_its_kind(modifier, settings, twin, hyper):
    base = signals()
    values, gradient = run(load_objective("dpo", beta=0.5, modifiers={modifier: settings}), base)
    expected, expected_gradient = run(load_objective(twin, **{"beta": 0.5, **hyper}), base)
    assert_close(values, expected, rtol=1e-12, atol=1e-12)
    assert_close(gradient, expected_gradient, rtol=1e-12, atol=1e-12)
    single = signals(dtype=torch.float32)
    values, _ = run(load_objective("dpo", beta=0.5, modifiers={modifier: settings}), single)
    assert_close(values, expected.float(), rtol=1e-5, atol=1e-5)


def test_label_smoothing_of_the_vectors():
    expected = case("cdpo")
    objective = load_objective("dpo", modifiers={"label_smoothing": {"epsilon": expected["hparams"]["eps"]}})
    base = pair_signals()
    outcome = objective(**given(objective, base))
    (gradient,) = torch.autograd.grad(outcome.loss, base["logps"])
    assert_close(outcome.values["dpo"], tensor(expected["per_example"]), rtol=1e-9, atol=1e-9)
    assert_close(gradient, tensor([expected["grad_logp_w"], expected["grad_logp_l"]]).T, rtol=1e-9, atol=1e-9)


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
    found = run(load_objective(name, modifiers={modifier: settings}), base)
    expected = run(plain, base)
    factor = 0.0 if modifier == "wpo" else 1.0  # a weight clamped at 0 takes the whole loss away
    for value, wanted in zip(found, expected, strict=True):
        assert_close(value, factor * wanted, rtol=1e-12, atol=1e-12)


def test_the_last_modifier_is_the_outermost():
    """Outside, it gives both orders of a pair one beta; inside, the swapped pair has swapped rewards."""
    base = signals()
    chosen, rejected = (base["labels"].argmax(dim=1), base["labels"].argmin(dim=1))
    rows = torch.arange(len(chosen))
    ratios, rewards = base["logps"] - base["ref_logps"], base["rewards"]
    margins = rewards[rows, chosen] - rewards[rows, rejected]
    one, other = (dynamic_beta(sign * margins, beta=0.5, w=0.5, k=0.5) for sign in (1, -1))
    sides = ratios[rows, chosen], ratios[rows, rejected]
    changes = {"label_smoothing": {"epsilon": 0.2}, "dynamic_beta": {"beta": 0.5}}
    values, _ = run(load_objective("dpo", modifiers=changes), base)
    assert_close(values, cdpo(*sides, beta=one, epsilon=0.2))
    values, _ = run(load_objective("dpo", modifiers=dict(reversed(changes.items()))), base)
    assert_close(
        values, 0.8 * cdpo(*sides, beta=one, epsilon=0.0) + 0.2 * cdpo(*sides[::-1], beta=other, epsilon=0.0)
    )


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
        ("dpo", {"ld": {"alpha": 1.5}}, "alpha=1.5: expected a share in [0, 1]"),
        ("dpo", {"ld": {"alfa": 0.5}}, "did you mean 'alpha'?"),
        ("dpo", ["label_smothing"], "did you mean 'label_smoothing'?"),
        ("list_mle", ["wpo"], "choose a pairwise objective"),
    ],
)
def test_what_cannot_work(name, modifiers, message):
    with pytest.raises(ConfigError) as error:
        load_objective(name, modifiers=modifiers)
    assert message in str(error.value)


@pytest.mark.parametrize("modifier", MODIFIERS)
def test_yaml_lists_every_hyper_parameter(modifier):
    ((name, node),) = read_choice("modifiers", modifier).items()
    parameters = inspect.signature(locate(node["_target_"])).parameters.values()
    assert name == modifier
    assert set(node) - {"_target_"} == {p.name for p in parameters if p.kind is p.KEYWORD_ONLY}
    assert set(MODIFIERS) == set(NEUTRAL)
