"""Chosen and rejected exchanged: the loss of the other order."""

import torch
from torch.testing import assert_close

from alignlab.signals import list_name
from tests.invariants.batches import loss_and_gradients, random_signals
from tests.invariants.cases import OBJECTIVES, PAIRWISE, bound, build, for_each, whole


def with_logratios(signals, change):
    """The same signals with other log-ratios of the policy to the reference."""
    return signals | {"logps": signals["ref_logps"] + change(signals["logps"] - signals["ref_logps"])}


def other_order(signals):
    return signals | {"labels": 1 - signals["labels"]}


def sees_margins_alone(case):
    """Whether the loss is a function of both log-ratios that nats added to both do not change, on all pairs."""
    objective = build(case)
    if objective.pairs != "all" or objective.gathers:
        return False
    if objective.signals != {"logps", "ref_logps", "labels"} or "strength" in objective.loss.contract.signals:
        return False
    if not {"chosen_logratios", "rejected_logratios"}.issuperset(objective.loss.contract.signals):
        return False
    signals = random_signals(objective)
    return torch.allclose(
        objective(**with_logratios(signals, lambda d: d + 0.7)).loss, objective(**signals).loss, rtol=1e-12
    )


def _signals_of(name):
    objective = build(name)
    return {list_name(s) for term in (objective.loss, *objective.modifiers) for s in term.contract.signals}


MARGINS = [case for case in PAIRWISE if sees_margins_alone(case)]
# Labels that a loss reads turn with their order: what is left is another pair.
BLIND = [
    name
    for name in OBJECTIVES
    if name in PAIRWISE and not build(name).gathers and not _signals_of(name) & {"labels", "strength"}
]


def test_losses_of_a_margin_are_found():
    assert {"dpo", "cdpo", "rdpo", "exo", "discopop"} <= set(MARGINS)
    assert not {"nca", "apo_zero", "dpop", "cal_dpo", "chi_po", "f_dpo"} & set(MARGINS)


@for_each("case", MARGINS)
def test_the_other_order_is_the_negated_margin(case):
    """L(rejected, chosen; h) = L(chosen, rejected; -h), and slopes turn their sign."""
    signals = random_signals(build(case))
    loss, slopes = loss_and_gradients(build(case), other_order(signals))
    negated_loss, negated = loss_and_gradients(build(case), with_logratios(signals, torch.neg))
    assert_close(loss, negated_loss)
    assert_close(slopes["logps"], -negated["logps"])


@for_each("case", MARGINS)
def test_gradients_of_the_two_sides_cancel(case):
    objective = build(case)
    signals = random_signals(objective)
    _, slopes = loss_and_gradients(objective, signals)
    assert (slopes["logps"] != 0).any()
    assert_close(slopes["logps"].sum(dim=1), torch.zeros(4, dtype=torch.float64))


def test_both_orders_of_dpo_differ_by_the_margin():
    """L(h) - L(-h) = -beta h, and the two slopes differ by beta."""
    objective = whole("dpo", {"beta": 0.3})
    signals = random_signals(objective, width=2)
    signals["where"] = torch.ones_like(signals["where"])
    loss, slopes = loss_and_gradients(objective, signals)
    other_loss, other = loss_and_gradients(objective, other_order(signals))
    sign = 2 * signals["labels"] - 1
    margins = (sign * (signals["logps"] - signals["ref_logps"])).sum(dim=1)
    assert_close(loss - other_loss, -0.3 * margins.mean())
    assert_close(slopes["logps"] - other["logps"], -0.3 * sign / 4)


@for_each("name", BLIND)
def test_smoothed_labels_mix_both_orders(name):
    """The label_smoothing modifier exchanges every pair signal, as other labels would."""
    signals = random_signals(build(name))
    smoothed = bound(whole(name, modifiers={"label_smoothing": {"epsilon": 0.3}}))
    mixed, slopes = loss_and_gradients(smoothed, signals)
    loss, straight = loss_and_gradients(bound(whole(name)), signals)
    other_loss, turned = loss_and_gradients(bound(whole(name)), other_order(signals))
    assert_close(mixed, 0.7 * loss + 0.3 * other_loss)
    for key, slope in slopes.items():
        assert_close(slope, 0.7 * straight[key] + 0.3 * turned[key])
