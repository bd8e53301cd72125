"""What terms report beside their loss: the names that their docstrings promise, and the numbers by hand."""

import math
import re

import pytest
import torch

from alignlab import ConfigError, load_objective
from alignlab.objective.card import GROUPS, find_card
from alignlab.objective.objective import Objective
from alignlab.objective.term import make_term
from alignlab.places import choices
from tests.invariants.batches import policy_leaves, random_signals
from tests.invariants.cases import CASES, build, under

PAIR = {"labels": torch.tensor([[1.0, 0.0]]), "lengths": torch.tensor([[4.0, 2.0]])}


def reported(objective, **signals):
    """The mean of each report on one batch."""
    return {name: part.mean.item() for name, part in objective(**signals).reports.items()}


def pair(chosen, rejected):
    return torch.tensor([[chosen, rejected]])


def promised(card):
    return {f"{term}/{name}" for term, text in card.reports for name in re.findall(r"`(\w+)`", text)}


def test_every_report_is_in_the_docstring_and_every_promise_is_kept():
    cards = {
        name if group != "modifiers" else under(name): find_card(f"{group}.{name}")
        for group in GROUPS
        for name in choices(group)
    }
    seen = {name: set() for name in cards}
    for case in CASES:
        words = case.split()
        name = case if case in cards else words[0]
        outcome = build(case)(**random_signals(build(case)))
        own = f"{words[0]}/" if "under" in words else None  # of the loss, which stand on its own card
        seen[name] |= {report for report in outcome.reports if not own or not report.startswith(own)}
    assert seen == {name: promised(card) for name, card in cards.items()}


@pytest.mark.parametrize("case", ["wpo", "kto", "lipo_lambda", "sparse_po"])
def test_a_report_has_no_gradient(case):
    objective = build(case)
    outcome = objective(**policy_leaves(random_signals(objective)))
    assert outcome.loss.requires_grad
    assert not any(part.sum.requires_grad or part.count.requires_grad for part in outcome.reports.values())


def test_weights_of_wpo():
    """exp of the mean log-weights of both responses, at most 1."""
    found = reported(
        load_objective("wpo"),
        logps=torch.tensor([[-6.0, -5.0], [-4.0, -2.0]]),
        ref_logps=torch.zeros(2, 2),
        log_collisions=torch.tensor([[-2.0, -3.0], [-8.0, -2.0]]),
        labels=torch.tensor([[1.0, 0.0]] * 2),
        lengths=torch.tensor([[4.0, 2.0]] * 2),
    )
    assert found == pytest.approx({"wpo/weight": (math.exp(-4 / 4 - 2 / 2) + 1) / 2})


def test_mean_beta_of_mm_rlhf_counts_lists_by_their_weights():
    found = reported(
        load_objective("mm_dpo", beta=0.1, w=0.5, k=0.5),
        logps=torch.zeros(2, 2),
        ref_logps=torch.zeros(2, 2),
        rewards=torch.tensor([[3.0, 1.0], [1.0, 1.0]]),
        labels=torch.tensor([[1.0, 0.0]] * 2),
        weights=torch.tensor([3.0, 1.0]),
    )
    clear = 0.1 * (1 + 0.5 * (1 - math.exp(-1)))
    assert found == pytest.approx({"dynamic_beta/beta": (3 * clear + 0.1) / 4})


def test_mean_lambda_weight_is_over_ordered_pairs():
    """Of three responses with two labels two pairs are ordered; a list of one has none."""
    found = reported(
        load_objective("lipo_lambda"),
        logps=torch.zeros(2, 3),
        ref_logps=torch.tensor([[-1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]),
        labels=torch.tensor([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]),
        where=torch.tensor([[True, True, True], [True, False, False]]),
    )
    drops = [1 / math.log(2) - 1 / math.log(3), 1 / math.log(2) - 1 / math.log(4)]
    assert found == pytest.approx({"lipo_lambda/lambda_weight": sum(drops) / 2})


def test_reference_points_of_the_step():
    """The divergence of KTO and the shift of BCO are one number, however many values there are."""
    logratios = torch.tensor([[3.0, -1.0], [1.0, 0.0]])
    signals = {
        "logps": logratios,
        "ref_logps": torch.zeros(2, 2),
        "labels": torch.tensor([[1.0, 0.0], [1.0, 0.0]]),
        "where": torch.tensor([[True, True], [True, False]]),
    }
    mismatched = {
        "mismatched_logps": torch.tensor([2.0, -1.0]),
        "mismatched_ref_logps": torch.zeros(2),
    }
    assert reported(load_objective("kto"), **signals, **mismatched) == pytest.approx({"kto/z0": 0.5})
    assert reported(load_objective("bco"), **signals) == pytest.approx({"bco/delta": (2 - 1) / 2})


def test_sides_of_d2o_leave_out_lists_without_a_negative():
    found = reported(
        load_objective("d2o"),
        logps=torch.tensor([[1.0, 2.0, -4.0], [9.0, 9.0, 9.0]]),
        ref_logps=torch.zeros(2, 3),
        labels=torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]]),
    )
    assert found == pytest.approx({"d2o/samples": 1.5, "d2o/negative": -4.0})


def test_divergences_distances_and_shares_of_pairs():
    """TDPO, Cal-DPO and Minor DPO on one pair each."""
    ratios = {"logps": pair(2.0, -3.0), "ref_logps": pair(0.0, 0.0), **PAIR}
    kl = {"kl_forward": pair(0.5, 1.25)}
    assert reported(load_objective("tdpo2"), **ratios, **kl) == {
        "tdpo2/kl_chosen": 0.5,
        "tdpo2/kl_rejected": 1.25,
    }
    cal = load_objective("cal_dpo", beta=0.25)
    assert reported(cal, **ratios) == {"cal_dpo/target_gap": (0 + 1) / 2}
    assert reported(load_objective("minor_dpo"), **ratios) == {"minor_dpo/spared": 1.0}


def test_what_a_smoothed_loss_reports_is_of_the_pairs_as_they_are():
    found = reported(
        load_objective("dpop", modifiers=["label_smoothing"]),
        logps=pair(-2.0, -5.0),
        ref_logps=pair(0.0, 0.0),
        **PAIR,
    )
    assert found == {"dpop/fallen": 2.0}


def test_a_loss_and_a_regularizer_of_ones_own():
    def loss(chosen_logps, rejected_logps):
        return rejected_logps - chosen_logps, {"right": chosen_logps > rejected_logps, "tau": 0.5}

    def tokens(logps, lengths):
        return (-logps, lengths), {"short": (lengths < 3, torch.ones_like(lengths))}

    mine = Objective("mine", make_term("mine", loss, {}), [make_term("nll", tokens, {})])
    logps, where = torch.tensor([[-1.0, -2.0], [-2.0, -1.0], [0.0, 0.0]]), torch.ones(3, 2).bool()
    signals = {
        "logps": logps,
        "lengths": torch.tensor([[4.0, 2.0]] * 3),
        "labels": torch.tensor([[1.0, 0.0]] * 3),
    }
    where[2] = False
    outcome = mine(**signals, where=where)
    assert {name: part.mean.item() for name, part in outcome.reports.items()} == {
        "mine/right": 0.5,
        "mine/tau": 0.5,
        "nll/short": 0.5,
    }
    assert outcome.parts["nll"].mean.item() == pytest.approx(6 / 12)


def test_a_report_that_is_no_number_is_named():
    mine = Objective("mine", make_term("mine", lambda chosen_logps: (chosen_logps, {"why": "because"}), {}))
    with pytest.raises(ConfigError, match="mine reports 'why' as str: expected a tensor"):
        mine(logps=pair(-1.0, -2.0), labels=PAIR["labels"])


def test_a_report_of_another_shape_is_named():
    def loss(chosen_logps, rejected_logps):
        return rejected_logps - chosen_logps, {"both": torch.stack([chosen_logps, rejected_logps])}

    mine = Objective("mine", make_term("mine", loss, {}))
    with pytest.raises(ConfigError, match=r"mine/both is reported in shape \(2, 1\): expected \(1,\)"):
        mine(logps=pair(-1.0, -2.0), labels=PAIR["labels"])


def test_numbers_of_a_report_count_as_often_as_there_are_values():
    def loss(chosen_logps, rejected_logps):
        return rejected_logps - chosen_logps, {
            "a": (0.5, 2.0),
            "b": (chosen_logps, 2.0),
            "c": (0.5, torch.tensor(4.0)),
        }

    mine = Objective("mine", make_term("mine", loss, {}))
    reports = mine(logps=pair(-1.0, -2.0), labels=PAIR["labels"]).reports
    assert {name: (part.sum.item(), part.count.item()) for name, part in reports.items()} == {
        "mine/a": (0.5, 2),
        "mine/b": (-1, 2),
        "mine/c": (0.5, 4),
    }


@pytest.mark.parametrize("signal", ["chosen_logps", "logps"])
def test_a_loss_that_is_one_number_reports_one_too(signal):
    mean = {
        "logps": lambda logps: (logps.mean(), {"a": 3.0}),
        "chosen_logps": lambda chosen_logps: (chosen_logps.mean(), {"a": 3.0}),
    }
    mine = Objective("mine", make_term("mine", mean[signal], {}))
    assert reported(mine, logps=torch.ones(3, 2), labels=torch.tensor([[1.0, 0.0]] * 3)) == {"mine/a": 3}


@pytest.mark.parametrize(
    ("loss", "said"),
    [
        (
            lambda chosen_logps: chosen_logps[:, None] * chosen_logps,
            r"returned values of shape \(2, 2\): expected \(2,\)",
        ),
        (lambda chosen_logps: chosen_logps.repeat(2), r"returned values of shape \(4,\): expected \(2,\)"),
        (lambda logps: (logps, torch.ones(2)), r"returned counts of shape \(2,\): expected \(2, 2\)"),
    ],
)
def test_values_of_another_shape_are_named_and_not_broadcast(loss, said):
    mine = Objective("mine", make_term("mine", loss, {}, path="objective.loss"))
    with pytest.raises(ConfigError, match=f"objective.loss {said}"):
        mine(logps=torch.ones(2, 2), labels=torch.tensor([[1.0, 0.0]] * 2))
