"""A user's own function or module, used as alignlab's own are."""

import math

import pytest
import torch
from torch import nn

from alignlab.objective.load import build_objective
from alignlab.objective.objective import Objective
from alignlab.objective.term import make_term
from alignlab.types import Outcome

LOGPS = torch.tensor([[-1.0, -2.0, -4.0], [-3.0, -1.0, -9.0]], dtype=torch.float64)
LABELS = torch.tensor([[0.0, 0.5, 1.0], [1.0, 0.0, 0.0]], dtype=torch.float64)
WHERE = torch.tensor([[True, True, True], [True, True, False]])
BASE = {"logps": LOGPS, "labels": LABELS, "where": WHERE}


def hinge(chosen_logps, rejected_logps, strength, *, margin=1.0):
    return torch.relu(margin * strength - chosen_logps + rejected_logps)


def likelihood(logps, *, power=1):
    return -(logps**power)


def token_likelihood(logps, lengths):
    return -logps, lengths


class Calibrated(nn.Module):
    """A loss with a parameter of its own."""

    def __init__(self, *, start=1.0):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(start, dtype=torch.float64))

    def forward(self, chosen_logps, rejected_logps):
        return nn.functional.softplus(-self.scale * (chosen_logps - rejected_logps))


def bare_log_ratio(logratios):
    return logratios


def best_against_worst(chosen_logps, rejected_logps):
    return rejected_logps - chosen_logps


def test_function_of_pairs():
    objective = Objective("hinge", make_term("hinge", hinge, {"margin": 2.0}))
    assert objective.signals == {"logps", "labels"}
    outcome = objective(**BASE)
    assert outcome.values["hinge"].tolist() == [2 + 4 - 1, 2 + 3 - 1]
    assert outcome.loss.item() == 4.5


def test_function_of_pairs_sees_the_chosen_pairs():
    objective = Objective("hinge", make_term("hinge", hinge, {}), pairs="all")
    assert len(objective(**BASE).values["hinge"]) == 4


def test_function_of_responses_is_averaged_over_real_ones():
    objective = Objective("likelihood", make_term("likelihood", likelihood, {}))
    assert objective(**BASE).loss.item() == pytest.approx((1 + 2 + 4 + 3 + 1) / 5)


def test_function_with_its_own_counts():
    objective = Objective("nll", make_term("nll", token_likelihood, {}))
    outcome = objective(logps=LOGPS, lengths=torch.full_like(LOGPS, 4.0), where=WHERE)
    assert outcome.loss.item() == pytest.approx(11 / 20)


@pytest.mark.parametrize("start", [1.0, 0.5])
def test_module_with_parameters_learns(start):
    term = make_term("calibrated", Calibrated, {"start": start})
    outcome = Objective("calibrated", term)(**BASE)
    expected = [math.log(1 + math.exp(start * 3)), math.log(1 + math.exp(start * 2))]
    assert outcome.values["calibrated"].tolist() == pytest.approx(expected)
    outcome.loss.backward()
    slopes = [d / (1 + math.exp(-start * d)) / 2 for d in (3, 2)]
    assert term.function.scale.grad.item() == pytest.approx(sum(slopes))


def test_module_instance_of_the_user():
    term = make_term("calibrated", Calibrated, {})
    again = make_term("again", term.function.forward, {})
    assert torch.equal(Objective("again", again)(**BASE).loss, Objective("calibrated", term)(**BASE).loss)


def test_by_dotted_path_from_a_config():
    node = {"name": "mine", "loss": {"_target_": f"{__name__}.hinge", "margin": 2.0}, "reduction": "sum"}
    regularizer = {"_target_": f"{__name__}.likelihood", "weight": 0.5, "power": 2}
    outcome = build_objective(node, {"square": regularizer})(**BASE)
    assert isinstance(outcome, Outcome)
    assert outcome.loss.item() == 9 - 0.5 * (1 + 4 + 16 + 9 + 1)


def test_offset_of_the_user():
    offset = make_term("prior", lambda rewards: rewards, {}, weight=2.0, kind="offset")
    objective = Objective("likelihood", make_term("likelihood", likelihood, {}), [offset])
    assert objective.signals == {"logps", "rewards"}
    loss = objective(logps=LOGPS, rewards=torch.ones_like(LOGPS)).loss
    assert loss.item() == pytest.approx(20 / 6 - 2.0)


def test_offsets_add_up():
    offsets = [
        make_term("prior", lambda rewards: rewards, {}, weight=2.0, kind="offset"),
        make_term("tokens", lambda lengths: lengths, {}, weight=-0.5, kind="offset"),
    ]
    objective = Objective("likelihood", make_term("likelihood", likelihood, {}), offsets)
    ones = torch.ones_like(LOGPS)
    assert objective(logps=LOGPS, rewards=ones, lengths=8 * ones).loss.item() == pytest.approx(
        20 / 6 - 2.0 + 4.0
    )


def test_offset_makes_the_objective_ask_for_log_probabilities():
    offset = make_term("prior", lambda rewards: rewards, {}, kind="offset")
    loss = make_term("divergence", lambda kl_reverse: kl_reverse, {})
    assert Objective("divergence", loss, [offset]).signals == {"kl_reverse", "rewards", "logps"}


def test_log_ratios_ask_for_both_models():
    objective = Objective("bare", make_term("bare", bare_log_ratio, {}))
    assert objective.signals == {"logps", "ref_logps"}
    assert objective.needs_reference


def test_pairwise_regularizer_of_a_listwise_loss_asks_for_labels():
    regularizer = make_term("gap", best_against_worst, {}, weight=0.1)
    objective = Objective("likelihood", make_term("likelihood", likelihood, {}), [regularizer])
    assert objective.signals == {"logps", "labels"}
    assert not objective.is_pairwise
    assert objective(**BASE).parts["gap"].mean.item() == pytest.approx((3 + 2) / 2)
