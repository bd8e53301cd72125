"""The first loss: policy and reference are one, so every log-ratio and divergence is 0."""

import math

import pytest
import torch

from alignlab import load_objective
from alignlab.objective.load import read_choice
from tests.invariants.batches import at_start, random_signals
from tests.invariants.cases import OBJECTIVES, bound

LN2 = math.log(2)
# The loss of a pair labelled 1 and 0: a number, or a function of the hyper-parameters that it depends on.
CONSTANTS = {
    "aot": LN2,
    "aot_unpaired": LN2,
    "apo_down": 1.0,
    "apo_zero": 1.0,
    "bco": LN2,
    "cal_dpo": lambda beta, calib_weight: LN2 + calib_weight / (2 * beta**2),
    "cdpo": LN2,
    "chi_po": LN2,
    "d2o": LN2,
    "discopop": (LN2 + 1) / 2,
    "dove": LN2,
    "dpo": LN2,
    "dpop": LN2,
    "exo": lambda epsilon: -LN2 - math.log(epsilon * (1 - epsilon)) / 2,
    "exo_list": lambda beta_r: math.log1p(math.exp(-1 / beta_r)) + 1 / (2 * beta_r) - LN2,
    "f_dpo": LN2,
    "flex_dpo": LN2,
    "info_nca": LN2,
    "ipo": lambda tau: 1 / (4 * tau**2),
    "kto": lambda desirable_weight, undesirable_weight: (desirable_weight + undesirable_weight) / 4,
    "ld_dpo": LN2,
    "lipo_lambda": (1 / LN2 - 1 / math.log(3)) * LN2,
    "lipo_pair_hinge": 1.0,
    "lipo_pair_logistic": LN2,
    "lipo_point_mse": 1.0,
    "lipo_point_sigmoid": 2 * LN2,
    "lipo_softmax": LN2,
    "list_mle": LN2,
    "ln_dpo": LN2,
    "minor_dpo": LN2,
    "mm_dpo": LN2,
    "mrpo": LN2,  # where both references are one
    "nca": 2 * LN2,
    "nca_list": 2 * LN2,
    "osp": LN2,
    "rdpo": LN2,
    "rso_hinge": 1.0,
    "spa": LN2,
    "spce": LN2,
    "sppo": lambda beta: 1 / (4 * beta**2),
    "tdpo1": LN2,
    "tdpo2": LN2,
    "tpo_tree": (1 / LN2 - 1 / math.log(3)) * LN2,
}
# Why the first loss of others is none, though they have a reference. Without one it never is.
VARIES = {
    "hybrid_dpo": "pairs that the reference ranks wrongly start from its own margin",
    "gpo": "squares of its targets, the rewards",
    "r_dpo": "its margin holds the difference of lengths",
    "rainbow_po": "its margin holds a share of the log-probabilities themselves",
    "rationale_dpo": "it adds the likelihood of the rationale",
    "rpo": "it adds the likelihood of the chosen response",
    "sparse_po": "it adds the size of its masks, which start at 1 on every token",
    "wpo": "its weights are probabilities of the policy",
}


def first_loss(name, seed):
    objective = bound(load_objective(name))
    signals = at_start(random_signals(objective, width=2, seed=seed))
    signals["labels"] = torch.tensor([[1.0, 0.0], [0.0, 1.0]] * 2, dtype=torch.float64)
    signals["where"] = torch.ones_like(signals["where"])
    return objective(**signals).loss.item()


@pytest.mark.parametrize("name", CONSTANTS)
def test_first_loss_is_a_constant(name):
    expected = CONSTANTS[name]
    if callable(expected):
        hyper = read_choice("objective", name)["loss"]
        expected = expected(**{key: hyper[key] for key in expected.__code__.co_varnames})
    for seed in (0, 1):
        assert first_loss(name, seed) == pytest.approx(expected)


@pytest.mark.parametrize(
    "name", [n for n in OBJECTIVES if n in VARIES or not load_objective(n).needs_reference]
)
def test_first_loss_depends_on_the_data(name):
    assert first_loss(name, seed=0) != pytest.approx(first_loss(name, seed=1))


def test_tables_name_objectives():
    assert set(CONSTANTS) | set(VARIES) <= set(OBJECTIVES)
