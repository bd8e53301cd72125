"""Regularizers in closed form, on plain numbers."""

import math

import pytest
import torch

from alignlab import load_objective
from alignlab.errors import ConfigError
from alignlab.objective.load import build_term
from alignlab.objective.objective import Objective

LENGTHS = [[10.0, 12.0], [24.0, 20.0]]
LOGPS = [[-12.5, -14.0], [-30.25, -28.5]]
LABELS = [[1.0, 0.0], [0.2, 0.7]]  # the best is the first, then the second
KL = {"kl_reverse": [[0.5, 1.5], [3.0, 0.25]], "kl_forward": [[0.75, 1.0], [2.0, 0.5]]}
REF_LOGPS = [[-11.0, -15.0], [-20.0, -30.0]]
ENTROPY = [[5.0, 9.0], [18.0, 10.0]]


def alone(target, **hyper):
    """Loss of an objective that is nothing but this regularizer."""
    objective = Objective("r", build_term("r", {"_target_": target, **hyper}, "regularizers.r"))
    signals = {"lengths": LENGTHS, "logps": LOGPS, "labels": LABELS, **KL}
    signals |= {"ref_logps": REF_LOGPS, "entropy": ENTROPY, "parameter_distance": 0.75}
    given = {k: torch.tensor(v, dtype=torch.float64) for k, v in signals.items() if k in objective.signals}
    return objective(**given).loss.item()


@pytest.mark.parametrize(
    ("reduction", "expected"),
    [
        ("seq_sum", (12.5 + 28.5) / 2),
        ("seq_mean", (12.5 / 10 + 28.5 / 20) / 2),
        ("token_mean", (12.5 + 28.5) / (10 + 20)),
    ],
)
def test_sft_on_the_best_response(reduction, expected):
    assert alone("alignlab.regularizers.sft.sft", reduction=reduction) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("direction", "sums"),
    [
        ("reverse", [0.5, 1.5, 3.0, 0.25]),
        ("forward", [0.75, 1.0, 2.0, 0.5]),
        ("jeffrey", [1.25, 2.5, 5.0, 0.75]),
    ],
)
@pytest.mark.parametrize("reduction", ["seq_sum", "seq_mean", "token_mean"])
def test_kl_over_every_response(direction, sums, reduction):
    tokens = [10, 12, 24, 20]
    expected = {
        "seq_sum": sum(sums) / 4,
        "seq_mean": sum(s / t for s, t in zip(sums, tokens, strict=True)) / 4,
        "token_mean": sum(sums) / sum(tokens),
    }[reduction]
    value = alone("alignlab.regularizers.kl.kl", direction=direction, reduction=reduction)
    assert value == pytest.approx(expected)


@pytest.mark.parametrize(
    ("direction", "wanted"),
    [("reverse", {"kl_reverse"}), ("forward", {"kl_forward"}), ("jeffrey", {"kl_reverse", "kl_forward"})],
)
def test_kl_asks_only_for_its_own_direction(direction, wanted):
    objective = load_objective("simpo", regularizers={"kl": {"direction": direction}})
    assert objective.signals & set(KL) == wanted
    assert objective.needs_reference


def test_regularizer_adds_weight_times_its_mean():
    objective = load_objective("dpo", beta=0.1, regularizers={"sft": {"weight": 0.3, "reduction": "seq_sum"}})
    logps = torch.tensor([[-12.5, -14.0]], dtype=torch.float64)
    ref = torch.tensor([[-13.0, -13.5]], dtype=torch.float64)
    base = {"lengths": torch.ones_like(logps), "labels": torch.tensor([[1.0, 0.0]], dtype=torch.float64)}
    outcome = objective(logps=logps, ref_logps=ref, **base)
    assert outcome.loss.item() == pytest.approx(math.log(1 + math.exp(-0.1)) + 0.3 * 12.5)
    assert outcome.parts["sft"].mean.item() == pytest.approx(12.5)
    assert outcome.parts["sft"].weight == 0.3


def test_sft_never_takes_an_absent_response():
    """An absent slot reads as label 0, which here is above every real one."""
    base = {
        "logps": [[0.0, -14.0, -12.5]],
        "lengths": [[0.0, 12.0, 10.0]],
        "labels": [[0.0, -2.0, -1.0]],
    }
    term = build_term("r", {"_target_": "alignlab.regularizers.sft.sft", "reduction": "seq_mean"}, "r")
    where = torch.tensor([[False, True, True]])
    outcome = Objective("r", term)(**{k: torch.tensor(v) for k, v in base.items()}, where=where)
    assert outcome.loss.item() == pytest.approx(1.25)


def test_empty_list_counts_nowhere():
    """A list without responses neither adds to a sequence mean nor to its count."""
    where = torch.tensor([[True, True], [False, False]])
    signals = {"logps": LOGPS, "lengths": LENGTHS, "labels": LABELS}
    base = {name: torch.tensor(value, dtype=torch.float64) for name, value in signals.items()}
    term = build_term("r", {"_target_": "alignlab.regularizers.sft.sft", "reduction": "seq_sum"}, "r")
    outcome = Objective("r", term)(**base, where=where)
    assert outcome.parts["r"].count.item() == 1
    assert outcome.loss.item() == pytest.approx(12.5)


@pytest.mark.parametrize(
    ("reduction", "expected"),
    [
        ("seq_sum", (5 + 9 + 18 + 10) / 4),
        ("seq_mean", (5 / 10 + 9 / 12 + 18 / 24 + 10 / 20) / 4),
        ("token_mean", (5 + 9 + 18 + 10) / (10 + 12 + 24 + 20)),
    ],
)
def test_entropy_over_every_response(reduction, expected):
    assert alone("alignlab.regularizers.entropy.entropy", reduction=reduction) == pytest.approx(expected)


def test_anchor_counts_what_the_best_response_lost():
    """1.5 nats of the first list; the best of the second has gained."""
    assert alone("alignlab.regularizers.anchor_chosen.anchor_chosen") == pytest.approx(1.5 / 2)


def test_anchor_has_no_gradient_at_the_start():
    """Where policy and reference agree, its kink must not push."""
    logps = torch.tensor(LOGPS, requires_grad=True)
    objective = load_objective("dpo", regularizers=["anchor_chosen"])
    base = {"lengths": torch.tensor(LENGTHS), "labels": torch.tensor(LABELS)}
    given = {k: v for k, v in base.items() if k in objective.signals}
    part = objective(logps=logps, ref_logps=logps.detach(), **given).parts["anchor_chosen"]
    (gradient,) = torch.autograd.grad(part.mean, logps)
    assert part.mean.item() == 0
    assert (gradient == 0).all()


def test_distance_from_the_start_is_the_same_for_any_batch():
    target = "alignlab.regularizers.l2_to_reference.l2_to_reference"
    objective = Objective("r", build_term("r", {"_target_": target}, "regularizers.r"))
    batches = [torch.tensor(LABELS), torch.tensor(LABELS[:1])]
    outcomes = [objective(parameter_distance=torch.tensor(0.75), labels=labels) for labels in batches]
    counts = {"r": sum(outcome.parts["r"].count for outcome in outcomes)}
    assert [outcome.loss.item() for outcome in outcomes] == [0.75, 0.75]
    assert sum(outcome.loss_over(counts).item() for outcome in outcomes) == pytest.approx(0.75)


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_smoothing_is_a_share(share):
    with pytest.raises(ConfigError, match=f"label_smoothing={share}"):
        load_objective("dpo", regularizers={"sft": {"label_smoothing": share}})


def test_smoothing_alone_asks_for_the_whole_vocabulary():
    plain = load_objective("dpo", regularizers=["sft"])
    smoothed = load_objective("dpo", regularizers={"sft": {"label_smoothing": 0.1}})
    assert smoothed.signals - plain.signals == {"uniform_logps"}


@pytest.mark.parametrize("gamma", [0.0, 0.4])
def test_dpo_with_a_rationale_is_rationale_dpo(gamma):
    """So is its gradient; beside orpo the term makes RORPO, and beside a list loss one term a list."""
    torch.manual_seed(0)
    base = {"labels": torch.tensor(LABELS), "lengths": torch.tensor(LENGTHS)}
    base |= {"logps": torch.tensor(LOGPS, requires_grad=True), "ref_logps": torch.tensor(REF_LOGPS)}
    reason = torch.tensor([-40.0, -25.0], requires_grad=True)
    both = [
        load_objective("dpo", regularizers={"rationale": gamma}),
        load_objective("rationale_dpo", gamma=gamma),
    ]
    losses = [objective(**base, rationale_logps=reason).loss for objective in both]
    torch.testing.assert_close(*losses)
    slopes = [torch.autograd.grad(loss, [base["logps"], reason]) for loss in losses]
    torch.testing.assert_close(*slopes)
    assert (slopes[0][1] == -gamma / 2).all()
    for name in ("orpo", "simpo", "lipo_lambda"):
        plain = load_objective(name)
        given = {key: base[key] for key in plain.signals}
        outcome = load_objective(name, regularizers={"rationale": gamma})(**given, rationale_logps=reason)
        assert outcome.parts["rationale"].mean.item() == 32.5
        torch.testing.assert_close(outcome.loss, plain(**given).loss + gamma * 32.5)
