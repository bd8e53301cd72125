"""TRL 1.16's own loss code on the same scores: its trainers' methods, called without a trainer."""

from collections import defaultdict
from types import SimpleNamespace

import pytest
import torch
from torch.testing import assert_close

from alignlab import load_objective
from alignlab.objective.load import build_term
from alignlab.objective.objective import Objective
from tests.oracles.toy import loss_and_gradient, toy

MISSING = "no TRL 1.16: pip install -e '.[oracles]'"
trl = pytest.importorskip("trl", minversion="1.16", reason=MISSING)
if not trl.__version__.startswith("1.16."):
    pytest.skip(MISSING, allow_module_level=True)
for_dpo = pytest.importorskip("trl.trainer.dpo_trainer", reason=MISSING)
for_kto = pytest.importorskip("trl.trainer.kto_trainer", reason=MISSING)
for_cpo = pytest.importorskip("trl.experimental.cpo.cpo_trainer", reason=MISSING)
for_orpo = pytest.importorskip("trl.experimental.orpo.orpo_trainer", reason=MISSING)

BETA = 0.3
# TRL's loss_type and settings -> ours, and what ours is multiplied with
LOSSES = {
    "sigmoid": ({}, "dpo", {"beta": BETA}, 1),
    "hinge": ({}, "rso_hinge", {"gamma": BETA}, 1),
    "ipo": ({}, "ipo", {"tau": BETA}, 1),
    "exo_pair": ({"label_smoothing": 0.01}, "exo", {"beta": BETA, "epsilon": 0.01}, 1),
    "nca_pair": ({}, "nca", {"beta": BETA}, 1),
    "robust": ({"label_smoothing": 0.2}, "rdpo", {"beta": BETA, "epsilon": 0.2}, 1),
    "bco_pair": ({}, "bco", {"beta": BETA, "delta": "none"}, 2),
    "sppo_hard": ({}, "sppo", {"beta": BETA, "hard": True, "aggregate": "sum"}, 1),
    "aot": ({"label_smoothing": 0.1}, "aot", {"beta": BETA, "epsilon": 0.1}, 1),
    "aot_unpaired": ({"label_smoothing": 0.1}, "aot_unpaired", {"beta": BETA, "epsilon": 0.1}, 1),
    "apo_zero": ({}, "apo_zero", {"beta": BETA}, 1),
    "apo_down": ({}, "apo_down", {"beta": BETA}, 1),
    "discopop": ({}, "discopop", {"beta": BETA, "tau": 0.05}, 1),
    "sigmoid_norm": ({}, "ln_dpo", {"beta": BETA}, 1),
    "sigmoid, forward KL": (
        {"f_divergence_type": "forward_kl"},
        "f_dpo",
        {"beta": BETA, "divergence": "forward_kl"},
        1,
    ),
    "sigmoid, JS": ({"f_divergence_type": "js_divergence"}, "f_dpo", {"beta": BETA, "divergence": "js"}, 1),
    "sigmoid, LD": ({"ld_alpha": 0.3}, "ld_dpo", {"beta": BETA, "alpha": 0.3}, 1),
    "sigmoid, WPO": ({"use_weighting": True}, "wpo", {"beta": BETA, "clamp_max": None}, 1),
}


class Model(torch.nn.Module):
    """Asked how it trains; its scores come from elsewhere."""

    is_gradient_checkpointing = False


def accelerator():
    return SimpleNamespace(device=torch.device("cpu"), gather=lambda x: x, gather_for_metrics=lambda x: x)


def trainer(**settings):
    """What `_compute_loss` reads of a trainer."""
    known = {
        "model": Model(),
        "accelerator": accelerator(),
        "args": SimpleNamespace(discopop_tau=0.05, gradient_checkpointing_kwargs=None),
        "aux_loss_enabled": False,
        "precompute_ref_logps": False,
        "ld_alpha": None,
        "use_weighting": False,
        "f_divergence_type": "reverse_kl",
        "f_alpha_divergence_coef": 0.5,
        "label_smoothing": 0.0,
        "loss_weights": [1.0],
        "beta": BETA,
        "_metrics": defaultdict(lambda: defaultdict(list)),
        "_total_train_tokens": 0,
        "_tp_size": 1,
    }
    return SimpleNamespace(**known | settings)


def inputs(given):
    """Token ids behind one prompt token, which no model here reads."""
    ids = torch.nn.functional.pad(given.tokens.clamp(min=0), (1, 0))
    mask = torch.nn.functional.pad(given.mask.long(), (1, 0))
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "completion_mask": mask}


def of_trl(given, **settings):
    holder = trainer(**settings, ref_model=lambda **_: given.scores(reference=True))
    loss = for_dpo.DPOTrainer._compute_loss(holder, lambda **_: given.scores(), inputs(given), False)
    return loss.detach(), torch.autograd.grad(loss, given.hidden)[0]


@pytest.mark.parametrize("case", LOSSES)
def test_losses_of_dpo_trainer(case):
    settings, name, hyper, factor = LOSSES[case]
    given = toy()
    expected = of_trl(given, loss_types=[case.partition(",")[0]], **settings)
    found = loss_and_gradient(load_objective(name, **hyper), given)
    for value, wanted in zip(found, expected, strict=True):
        assert_close(factor * value, wanted, rtol=1e-7, atol=1e-7)


def test_alpha_divergence_counts_from_the_other_end():
    """TRL's coefficient is 1 - alpha, and it has no float64."""
    given = toy(torch.float32)
    settings = {"f_divergence_type": "alpha_divergence", "f_alpha_divergence_coef": 0.7}
    expected = of_trl(given, loss_types=["sigmoid"], **settings)
    found = loss_and_gradient(load_objective("f_dpo", beta=BETA, divergence="alpha", alpha=0.3), given)
    for value, wanted in zip(found, expected, strict=True):
        assert_close(value, wanted, rtol=1e-4, atol=1e-5)


def test_weighted_losses_are_regularizers():
    given = toy()
    expected = of_trl(given, loss_types=["sigmoid", "sft"], loss_weights=[1.0, 0.25])
    found = loss_and_gradient(load_objective("dpo", beta=BETA, regularizers={"sft": 0.25}), given)
    for value, wanted in zip(found, expected, strict=True):
        assert_close(value, wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("shift", [0.4, -0.4], ids=["away", "at 0"])
@pytest.mark.parametrize(("loss_type", "z0"), [("kto", "mismatched"), ("apo_zero_unpaired", "zero")])
def test_loss_of_kto_trainer(loss_type, z0, shift):
    given, weights = toy(), {"desirable_weight": 1.3, "undesirable_weight": 0.7}
    policy, reference = given.scores(), given.scores(reference=True)
    label = torch.tensor([True] * 4 + [False] * 6)
    apart = torch.linspace(-1, 1, 10, dtype=torch.float64) + shift
    holder = trainer(
        loss_type=loss_type,
        calculate_KL=loss_type == "kto",
        precompute_ref_logps=True,
        _compute_kl_logps=lambda *_: apart,
        **weights,
    )
    batch = inputs(given) | {
        "label": label,
        "ref_logps": reference.log_probs.sum(dim=1),
        "ref_KL_logps": torch.zeros_like(apart),
    }
    loss = for_kto.KTOTrainer._compute_loss(holder, lambda **_: policy, batch, False)
    wanted = torch.autograd.grad(loss, given.hidden, retain_graph=True)[0]

    signals = {
        "logps": policy.log_probs.sum(dim=1)[:, None],
        "ref_logps": reference.log_probs.sum(dim=1)[:, None],
        "labels": label[:, None].double(),
    }
    if z0 == "mismatched":
        signals |= {"mismatched_logps": apart, "mismatched_ref_logps": torch.zeros_like(apart)}
    found = load_objective("kto", beta=BETA, z0=z0, **weights)(**signals).loss
    assert_close(found, loss, rtol=1e-9, atol=1e-9)
    assert_close(torch.autograd.grad(found, given.hidden)[0], wanted, rtol=1e-9, atol=1e-9)


def means(given):
    sums = given.scores().log_probs.sum(dim=1)
    return (sums / given.mask.sum(dim=1)).chunk(2)


def test_loss_of_simpo():
    given = toy()
    settings = {"loss_type": "simpo", "alpha": 0.0, "beta": 2.0, "simpo_gamma": 1.6}
    losses, _, _ = for_cpo.CPOTrainer.cpo_loss(trainer(**settings), *means(given))
    found, _ = loss_and_gradient(load_objective("simpo", beta=2.0, gamma=1.6), given)
    assert_close(found, losses.mean().detach(), rtol=1e-9, atol=1e-9)


def test_loss_of_cpo():
    """Without its likelihood, which is a mean over the tokens of the batch there."""
    given = toy()
    sums = given.scores().log_probs.sum(dim=1).chunk(2)
    losses, _, _ = for_cpo.CPOTrainer.cpo_loss(trainer(loss_type="sigmoid", alpha=0.0), *sums)
    found, _ = loss_and_gradient(load_objective("cpo", beta=BETA, nll="none"), given)
    assert_close(found, losses.mean().detach(), rtol=1e-9, atol=1e-9)


def test_odds_ratio_of_orpo():
    """TRL returns the log-likelihood, which its trainer then subtracts, in float32."""
    given = toy()
    ratios, *_ = for_orpo.ORPOTrainer.odds_ratio_loss(trainer(), *means(given))
    found, _ = loss_and_gradient(load_objective("orpo", lam=BETA, nll="none"), given)
    assert_close(found, -ratios.mean().detach().double(), rtol=1e-5, atol=1e-6)


def test_likelihood_of_the_batch_is_a_regularizer():
    """The token mean that TRL's CPO and ORPO add."""
    given = toy()
    chosen, mask = given.scores().log_probs.chunk(2)[0], given.mask.chunk(2)[0]
    sft = build_term("sft", {"_target_": "alignlab.regularizers.sft.sft"}, "regularizers.sft")
    found, _ = loss_and_gradient(Objective("sft", sft), given)
    assert_close(found, -chosen[mask].mean().detach(), rtol=1e-9, atol=1e-9)
