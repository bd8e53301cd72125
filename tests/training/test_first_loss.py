"""A first loss far beyond the usual one is told, with what makes it so; others are not."""

import pytest
import torch

from alignlab.objective.load import load_objective
from alignlab.training.first_loss import FirstLoss
from tests.invariants.batches import at_start, random_signals
from tests.invariants.cases import OBJECTIVES, bound


def told(caplog, name, changes=None, **hyper):
    """The warning about the first loss of a random batch whose signals were changed; empty without one."""
    objective = bound(load_objective(name, **hyper))
    signals = at_start(random_signals(objective, seed=1))
    for signal, change in (changes or {}).items():
        signals[signal] = change(signals[signal])
    first = FirstLoss(objective)
    first.add(signals, objective(**signals).parts[name])
    first.tell()
    return caplog.text


@pytest.mark.parametrize("name", OBJECTIVES)
def test_no_alarm_at_a_start(caplog, name):
    assert not told(caplog, name)


@pytest.mark.parametrize("name", ["dpo", "kto", "list_mle", "lipo_pair_logistic", "simpo"])
def test_no_alarm_for_ratings_where_only_their_order_counts(caplog, name):
    assert not told(caplog, name, {"labels": lambda labels: 1 + 999 * labels})


@pytest.mark.parametrize("name", ["lipo_lambda", "lipo_point_mse", "sppo"])
@pytest.mark.parametrize("scale", [10, 1e6])
def test_labels_of_another_scale(caplog, name, scale):
    assert "data.scale" in told(caplog, name, {"labels": lambda labels: 1 + scale * labels})


def test_rewards_of_another_scale(caplog):
    assert not told(caplog, "gpo", {"rewards": lambda rewards: 5 + rewards})
    assert "another scale" in told(caplog, "gpo", {"rewards": lambda rewards: 1000 + 200 * rewards})


def test_a_reference_far_from_the_policy(caplog):
    two = {name: torch.tensor([[-9.0, -9.0]]) for name in ("logps", "ref_logps")}
    signals = {**two, "labels": torch.tensor([[1.0, 0.0]]), "where": torch.ones(1, 2, dtype=torch.bool)}
    far = {**signals, "logps": torch.tensor([[-309.0, -9.0]])}
    objective = load_objective("dpo")
    for batch in (signals, far):
        first = FirstLoss(objective)
        first.add(batch, objective(**batch).parts["dpo"])
        first.tell()
    assert caplog.text.count("first loss") == caplog.text.count("up to 300 nats apart") == 1


def test_a_loss_that_is_no_number_has_another_message(caplog):
    assert not told(caplog, "dpo", {"logps": lambda logps: logps * torch.nan})
