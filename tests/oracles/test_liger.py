"""liger-kernel's chunked preference losses, which go from hidden states to the loss in one function."""

import pytest
import torch
from torch.testing import assert_close

from alignlab import load_objective
from tests.oracles.toy import loss_and_gradient, toy

MISSING = "no liger-kernel: pip install -e '.[oracles]'"
liger = pytest.importorskip("liger_kernel.chunked_loss", reason=MISSING)

BETA = 0.3
EXACT = {"rtol": 2e-5, "atol": 2e-5}
"""liger computes in float32."""
# its loss_type and settings -> ours, and what ours is multiplied with
WITH_REFERENCE = {
    "sigmoid": ({}, "dpo", {"beta": BETA}, 1),
    "hinge": ({}, "rso_hinge", {"gamma": BETA}, 1),
    "exo_pair": ({"label_smoothing": 0.01}, "exo", {"beta": BETA, "epsilon": 0.01}, 1),
    "nca_pair": ({}, "nca", {"beta": BETA}, 1),
    "robust": ({"label_smoothing": 0.2}, "rdpo", {"beta": BETA, "epsilon": 0.2}, 1),
    "bco_pair": ({}, "bco", {"beta": BETA, "delta": "none"}, 2),
    "sppo_hard": ({}, "sppo", {"beta": BETA, "hard": True, "aggregate": "sum"}, 1),
    "apo_zero": ({}, "apo_zero", {"beta": BETA}, 1),
    "apo_down": ({}, "apo_down", {"beta": BETA}, 1),
    "discopop": ({"discopop_tau": 0.07}, "discopop", {"beta": BETA, "tau": 0.07}, 1),
}
# its likelihood is a mean over the tokens of the batch: our regularizer
WITHOUT = {
    "CPO": ({"beta": BETA, "alpha": 0.5}, "cpo", {"beta": BETA, "nll": "none"}, 0.5),
    "SimPO": ({"beta": 2.0, "gamma": 1.6}, "simpo", {"beta": 2.0, "gamma": 1.6}, 0),
    "ORPO": ({"beta": BETA}, "orpo", {"lam": BETA, "nll": "none"}, 1),
}


@pytest.mark.parametrize("pairs", [1, 5])
@pytest.mark.parametrize("loss_type", WITH_REFERENCE)
def test_dpo_and_its_kin(loss_type, pairs):
    settings, name, hyper, factor = WITH_REFERENCE[loss_type]
    given = toy(torch.float32, pairs)
    chunked = liger.LigerFusedLinearDPOLoss(beta=BETA, loss_type=loss_type, compiled=False, **settings)
    wanted, *_ = chunked(
        given.head, given.hidden, given.tokens, ref_input=given.ref_hidden, ref_weight=given.ref_head
    )[:1]
    gradient = torch.autograd.grad(wanted, given.hidden)[0]
    found = loss_and_gradient(load_objective(name, **hyper), given)
    for value, expected in zip(found, (wanted.detach(), gradient), strict=True):
        assert_close(factor * value, expected, **EXACT)


@pytest.mark.parametrize("name", WITHOUT)
def test_without_a_reference(name):
    settings, ours, hyper, likelihood = WITHOUT[name]
    given = toy(torch.float32)
    chunked = getattr(liger, f"LigerFusedLinear{name}Loss")(
        compiled=False, compute_nll_loss=likelihood > 0, **settings
    )
    wanted = chunked(given.head, given.hidden, given.tokens)[0]
    gradient = torch.autograd.grad(wanted, given.hidden)[0]
    regularizers = {"sft": likelihood} if likelihood else {}
    found = loss_and_gradient(load_objective(ours, **hyper, regularizers=regularizers), given)
    for value, expected in zip(found, (wanted.detach(), gradient), strict=True):
        assert_close(value, expected, **EXACT)


@pytest.mark.parametrize("z0", [0.0, 0.4])
def test_kto(z0):
    given = toy(torch.float32)
    label = torch.tensor([True] * 4 + [False] * 6)
    chunked = liger.LigerFusedLinearKTOLoss(beta=BETA, compiled=False, use_ref_model=True)
    wanted = chunked(
        given.hidden,
        given.head,
        given.tokens,
        preference_labels=label,
        ref_input=given.ref_hidden,
        ref_weight=given.ref_head,
        kl=torch.tensor(z0),
    )[0]
    gradient = torch.autograd.grad(wanted, given.hidden)[0]
    signals = {
        "logps": given.scores().log_probs.sum(dim=1)[:, None],
        "ref_logps": given.scores(reference=True).log_probs.sum(dim=1)[:, None],
        "labels": label[:, None].float(),
        "mismatched_logps": torch.full((10,), z0),
        "mismatched_ref_logps": torch.zeros(10),
    }
    found = load_objective("kto", beta=BETA)(**signals).loss
    assert_close(found, wanted, **EXACT)
    assert_close(torch.autograd.grad(found, given.hidden)[0], gradient, **EXACT)
