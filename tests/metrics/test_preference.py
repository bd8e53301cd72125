"""Metrics of preference training against hand computation, and in any batching."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from alignlab.metrics.meter import Meter
from alignlab.metrics.preference import k3, preference_metrics, with_margin
from alignlab.objective.implicit_reward import ImplicitReward
from alignlab.objective.load import load_objective
from alignlab.types import Part

# Two lists: three responses (the first two tie for best) and two.
SIGNALS = {
    "logps": torch.tensor([[-1.0, -2.0, -4.0], [-3.0, -3.0, 0.0]]),
    "ref_logps": torch.tensor([[-2.0, -1.0, -3.0], [-5.0, -1.0, 0.0]]),
    "lengths": torch.tensor([[3.0, 5.0, 7.0], [2.0, 4.0, 0.0]]),
    "labels": torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.5, 0.0]]),
    "where": torch.tensor([[True, True, True], [True, True, False]]),
}
BETA = 0.5
REWARD = ImplicitReward(BETA)
# Log-ratios: list 0: 1, -1, -1; list 1: 2, -2. Chosen: (0, 0), (1, 1). Rejected: (0, 2), (1, 0).
EXPECTED = {
    "rewards/chosen": BETA * (1 - 2) / 2,
    "rewards/rejected": BETA * (-1 + 2) / 2,
    "rewards/margin": BETA * ((1 + 1) + (-2 - 2)) / 2,
    # ordered pairs: (0>2): 1 > -1 wins; (1>2): -1 ties; list 1 (1>0): -2 < 2 loses
    "rewards/accuracy": (1 + 0.5 + 0) / 3,
    # of log-probabilities: -1 > -4, -2 > -4, -3 = -3
    "ranking_accuracy": (1 + 1 + 0.5) / 3,
    "logps/chosen": (-1 - 3) / 2,
    "logps/rejected": (-4 - 3) / 2,
    "lengths/chosen": (3 + 4) / 2,
    "lengths/rejected": (7 + 2) / 2,
    "logratio": (1 - 1 - 1 + 2 - 2) / 5,
    "logratio_k3": sum(
        n * (math.exp(-r / n) - 1 + r / n) for r, n in ((1, 3), (-1, 5), (-1, 7), (2, 2), (-2, 4))
    )
    / 5,
    # list 0 alone has more than two: its first response leads, the others tie
    "lists/ndcg": (1 + (1 / math.log2(3) + 0.5) / 2) / (1 + 1 / math.log2(3)),
    "lists/kendall_tau": 1 / math.sqrt(2 * 2),
    "lists/top1": 1.0,
}


def values(parts):
    return {name: part.mean.item() for name, part in parts.items()}


def test_by_hand():
    assert values(preference_metrics(**SIGNALS, reward=REWARD)) == pytest.approx(EXPECTED)


def test_without_a_reference_rewards_are_log_probabilities():
    free = {name: value for name, value in SIGNALS.items() if name != "ref_logps"}
    found = values(preference_metrics(**free, reward=REWARD))
    assert not {"logratio", "logratio_k3"} & set(found)
    assert found["rewards/chosen"] == pytest.approx(BETA * (-1 - 3) / 2)
    assert found["rewards/accuracy"] == found["ranking_accuracy"] == pytest.approx(2.5 / 3)


def test_the_exact_divergence_is_told_apart():
    exact = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, math.nan]])
    assert values(preference_metrics(**SIGNALS, reward=REWARD, kl_reverse=exact))[
        "kl_exact"
    ] == pytest.approx(3.0)


def test_no_gradient_is_kept():
    logps = SIGNALS["logps"].clone().requires_grad_()
    parts = preference_metrics(**(SIGNALS | {"logps": logps}), reward=REWARD)
    assert not any(part.sum.requires_grad for part in parts.values())


def test_lone_responses_have_sides_and_signs():
    lone = {
        "logps": torch.tensor([[-1.0], [-3.0], [-9.0], [-2.0]]),
        "ref_logps": torch.tensor([[-2.0], [-1.0], [-5.0], [-2.0]]),
        "lengths": torch.tensor([[3.0], [2.0], [4.0], [5.0]]),
        "labels": torch.tensor([[1.0], [0.9], [0.0], [0.0]]),
        "where": torch.ones(4, 1, dtype=torch.bool),
    }
    meter = Meter()
    meter.add(preference_metrics(**lone, reward=REWARD))
    found = with_margin(meter.values())
    # log-ratios 1 and -2 of the desirable, -4 and 0 of the others
    assert {name: found[name] for name in found if "logratio" not in name} == pytest.approx(
        {
            "rewards/chosen": BETA * -0.5,
            "rewards/rejected": BETA * -2,
            "rewards/margin": BETA * 1.5,
            "rewards/accuracy": (1 + 0 + 1 + 0.5) / 4,
            "logps/chosen": -2.0,
            "logps/rejected": -5.5,
            "lengths/chosen": 2.5,
            "lengths/rejected": 4.5,
        }
    )
    free = preference_metrics(**{k: v for k, v in lone.items() if k != "ref_logps"}, reward=REWARD)
    assert free["rewards/accuracy"].count == 0  # the sign of a log-probability says nothing


def test_rewards_are_the_objectives_own():
    per_token = preference_metrics(**SIGNALS, reward=ImplicitReward(2.0, per_token=True))
    assert per_token["rewards/chosen"].mean.item() == pytest.approx(2 * (1 / 3 - 2 / 4) / 2)
    simpo = preference_metrics(**SIGNALS, reward=load_objective("simpo").reward)
    assert simpo["rewards/chosen"].mean.item() == pytest.approx(2 * (-1 / 3 - 3 / 4) / 2)  # no reference
    assert simpo["logratio"].mean.item() == pytest.approx(EXPECTED["logratio"])
    assert load_objective("ipo").reward == ImplicitReward(1.0, per_token=True)
    assert load_objective("ipo", aggregate="sum").reward == ImplicitReward(1.0)
    assert load_objective("kto", beta=0.3).reward == ImplicitReward(0.3)
    assert not load_objective("slic").reward.against_reference


@pytest.mark.parametrize("name", ["simpo", "ln_dpo", "ipo", "rainbow_po"])
def test_a_loss_falls_as_the_margin_of_its_own_rewards_grows(name):
    """The reward is what the loss compares: where two responses have the same, it is where it was."""
    objective = load_objective(name, **({"dispersion": False} if name == "rainbow_po" else {}))
    same = {"ref_logps": torch.zeros(1, 2), "labels": torch.tensor([[1.0, 0.0]])}
    lengths, tens = torch.tensor([[2.0, 8.0]]), torch.tensor([[10.0, 10.0]])
    for means in ([-1.0, -1.0], [-1.0, -2.0]):
        logps = [torch.tensor([means]) * n for n in (lengths, tens)]
        losses = [
            objective(logps=x, lengths=n, **same).loss for x, n in zip(logps, (lengths, tens), strict=True)
        ]
        assert losses[0].item() == pytest.approx(losses[1].item())


def test_the_change_since_the_start():
    found = values(preference_metrics(**SIGNALS, start_logps=SIGNALS["ref_logps"], reward=REWARD))
    assert found["logps_change/chosen"] == pytest.approx((1 - 2) / 2)
    assert found["logps_change/rejected"] == pytest.approx((-1 + 2) / 2)


def test_k3_is_finite_and_never_negative():
    far = torch.tensor([-1e4, -3.0, 0.0, 1e-4, 50.0], dtype=torch.float64)
    assert torch.isfinite(k3(far)).all()
    assert (k3(far) >= 0).all()
    assert k3(far)[2] == 0


def random_signals(lists, seed):
    random = torch.Generator().manual_seed(seed)
    shape = (lists, 4)
    where = torch.arange(4) < torch.randint(1, 5, (lists, 1), generator=random)
    return {
        "logps": -10 * torch.rand(shape, generator=random, dtype=torch.float64),
        "ref_logps": -10 * torch.rand(shape, generator=random, dtype=torch.float64),
        "lengths": torch.randint(1, 9, shape, generator=random).double(),
        "labels": torch.randint(0, 3, shape, generator=random).double(),
        "where": where,
    }


@settings(max_examples=30, deadline=None)
@given(lists=st.integers(1, 12), seed=st.integers(0, 99), data=st.data())
def test_any_batching_adds_up(lists, seed, data):
    signals = random_signals(lists, seed)
    cuts = sorted(data.draw(st.sets(st.integers(1, lists - 1)))) if lists > 1 else []
    whole, parts = Meter(), Meter()
    whole.add(preference_metrics(**signals, reward=REWARD))
    for start, end in zip([0, *cuts], [*cuts, lists], strict=True):
        parts.add(preference_metrics(**{k: v[start:end] for k, v in signals.items()}, reward=REWARD))
    assert parts.values() == pytest.approx(whole.values(), abs=1e-12)
    assert "logratio" in whole.values()


def part(total, count):
    return Part(torch.tensor(total), torch.tensor(count))


def test_meter():
    meter = Meter()
    assert meter.values() == {}
    meter.add({"loss": part(3.0, 2.0), "empty": part(0.0, 0.0), "plain sum": part(2.0, 0.0)})
    meter.add({"loss": part(6.0, 1.0), "plain sum": part(0.5, 0.0), "late": part(0.0, 4.0)})
    assert meter.values() == {"loss": 3.0, "plain sum": 2.5, "late": 0.0}
