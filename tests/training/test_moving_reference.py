"""References that follow the policy: closed forms, dtypes, the checkpoint, and modes that cannot."""

from unittest.mock import Mock

import lightning as L
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from alignlab import load_objective
from alignlab.errors import ConfigError
from alignlab.passes.reference_mode import resolve_mode
from alignlab.training.callbacks.moving_reference import MovingReference, move
from alignlab.training.callbacks.validation import Validation
from alignlab.training.settings import MovingSpec
from tests.config.compose import composed, problem


def linear(value, dtype=torch.float64):
    layer = nn.Linear(3, 2, dtype=dtype)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.fill_(value)
    return layer


def at_step(step):
    """What Lightning hands to a callback after that step."""
    return Mock(spec=L.Trainer, global_step=step), L.LightningModule()


def validated(history):
    """A validation that has these metrics by step."""
    return Mock(spec=Validation, history=history)


@given(st.floats(0, 1), st.integers(1, 8))
def test_an_average_of_a_policy_that_stands_still(decay, updates):
    reference, policy = linear(0.0), linear(1.0)
    for _ in range(updates):
        move(reference, policy, decay)
    for weight in reference.parameters():
        torch.testing.assert_close(weight, torch.full_like(weight, 1 - decay**updates))


def test_an_average_is_none_at_the_ends():
    reference, policy = linear(0.25), linear(1.0)
    move(reference, policy, 1.0)
    assert torch.equal(reference.weight, torch.full_like(reference.weight, 0.25))
    move(reference, policy, 0.0)
    assert torch.equal(reference.weight, policy.weight)
    assert reference.weight.data_ptr() != policy.weight.data_ptr()


def test_half_precision_is_averaged_in_float32():
    reference, policy = linear(1.0, torch.bfloat16), linear(1.0078125, torch.bfloat16)
    move(reference, policy, 0.25)
    exact = 0.25 + 0.75 * 1.0078125
    assert reference.weight[0, 0].item() == torch.tensor(exact).to(torch.bfloat16).item()
    assert reference.weight.dtype == torch.bfloat16


@pytest.mark.parametrize("update", ["ema", "hard"])
def test_updates_are_where_they_are_due(update):
    reference, policy = linear(0.0), linear(1.0)
    spec = MovingSpec(update, every_n_steps=3, ema_decay=0.5)
    callback = MovingReference(reference, policy, spec, validated({}))
    after = []
    for step in range(1, 7):
        callback.on_train_batch_end(*at_step(step))
        after.append(reference.weight[0, 0].item())
    assert after == ([0, 0, 0.5, 0.5, 0.5, 0.75] if update == "ema" else [0, 0, 1, 1, 1, 1])
    assert all(weight.grad is None for weight in (*reference.parameters(), *policy.parameters()))


def test_the_reference_becomes_the_policy_where_a_validation_was_the_best():
    """At the first one, and where the loss is the lowest so far; the start does not count."""
    losses, policy = {0: 0.1, 2: 0.7, 4: 0.9, 6: 0.5}, linear(0.0)
    history = {}
    callback = MovingReference(linear(-1.0), policy, MovingSpec("best"), validated(history))
    after = []
    for step in range(1, 7):
        policy.weight.data.fill_(float(step))
        history |= {at: {"loss": loss} for at, loss in losses.items() if at <= step}
        callback.on_train_batch_end(*at_step(step))
        after.append(callback.reference.weight[0, 0].item())
    assert after == [-1, 2, 2, 2, 2, 6]


def test_the_reference_travels_in_the_checkpoint():
    spec = MovingSpec("ema", every_n_steps=1, ema_decay=0.9)
    before = MovingReference(linear(0.0), linear(1.0), spec, validated({}))
    before.on_train_batch_end(*at_step(1))
    after = MovingReference(linear(7.0), linear(1.0), spec, validated({}))
    after.load_state_dict({name: value.clone() for name, value in before.state_dict().items()})
    for callback in (before, after):
        callback.on_train_batch_end(*at_step(2))
    assert torch.equal(after.reference.weight, before.reference.weight)
    torch.testing.assert_close(after.reference.weight, torch.full_like(after.reference.weight, 1 - 0.9**2))


@pytest.mark.parametrize("update", ["ema", "hard"])
def test_a_moving_reference_is_live(update):
    assert resolve_mode("auto", load_objective("dpo"), update=update) == "live"
    assert resolve_mode("live", load_objective("dpo"), update=update) == "live"
    for mode in ("precomputed", "adapter"):
        with pytest.raises(ConfigError, match=f"reference={mode} is scored once, or fixed"):
            resolve_mode(mode, load_objective("dpo"), adapter=True, update=update)
    with pytest.raises(ConfigError, match="'simpo' takes none"):
        resolve_mode("auto", load_objective("simpo"), update=update)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["reference.update=emma"], "did you mean 'ema'"),
        (
            ["reference.update=ema", "reference.every_n_steps=0"],
            "reference.every_n_steps=0: expected a whole number",
        ),
        (["reference.update=ema", "reference.ema_decay=2"], "reference.ema_decay=2: expected a share"),
        (["reference.update=ema", "reference=precomputed", "reference.update=ema"], "use reference=live"),
        (["reference.update=ema", "peft=lora"], "use peft=none"),
        (["reference.of=begin"], "reference.of=begin"),
    ],
)
def test_settings_are_checked(overrides, message):
    assert message in problem(composed(*overrides))
