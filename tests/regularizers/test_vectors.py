"""Regularizers against the shared vectors: values, per-example values, gradients down to the logits."""

import pytest
import torch
from torch.testing import assert_close

from alignlab.objective.load import build_term
from alignlab.objective.objective import Objective
from tests.vectors import case, given, load, pair_signals, tensor, token_fixture

SFT = "alignlab.regularizers.sft.sft"
KL = "alignlab.regularizers.kl.kl"
ENTROPY = "alignlab.regularizers.entropy.entropy"


def alone(target, **hyper):
    """An objective that is nothing but this regularizer."""
    return Objective("r", build_term("r", {"_target_": target, **hyper}, "regularizers.r"))


def token_signals():
    """Sums over response tokens of one response a list, from the logits of policy and reference."""
    logits, ref_logits, ids, mask = token_fixture()
    policy, reference = logits.log_softmax(-1), ref_logits.log_softmax(-1)
    sums = {
        "kl_reverse": (policy.exp() * (policy - reference)).sum(-1),
        "kl_forward": (reference.exp() * (reference - policy)).sum(-1),
        "entropy": -(policy.exp() * policy).sum(-1),
        "uniform_logps": policy.mean(-1),
        "logps": policy.gather(-1, ids[..., None]).squeeze(-1),
        "lengths": torch.ones_like(policy[..., 0]),
    }
    signals = {name: (value * mask).sum(1, keepdim=True) for name, value in sums.items()}
    return logits, signals | {"labels": torch.ones(2, 1, dtype=torch.float64)}


TOKEN_CASES = {
    "reg_forward_kl_tokenmean": (KL, {"direction": "forward", "reduction": "token_mean"}),
    "reg_reverse_kl_tokenmean": (KL, {"direction": "reverse", "reduction": "token_mean"}),
    "reg_jeffrey_tokenmean": (KL, {"direction": "jeffrey", "reduction": "token_mean"}),
    "reg_forward_kl_seqsum": (KL, {"direction": "forward", "reduction": "seq_sum"}),
    "reg_reverse_kl_seqsum": (KL, {"direction": "reverse", "reduction": "seq_sum"}),
    "reg_nll_tokenmean": (SFT, {"reduction": "token_mean"}),
    "reg_nll_seqmean": (SFT, {"reduction": "seq_mean"}),
    "reg_label_smoothing_uniform": (SFT, {"reduction": "token_mean", "label_smoothing": 0.1}),
    "reg_entropy_tokenmean": (ENTROPY, {"reduction": "token_mean"}),
}
PAIR_CASES = {"sft_sum": "seq_sum", "sft_seqmean": "seq_mean", "sft_tokenmean": "token_mean"}


@pytest.mark.parametrize("name", TOKEN_CASES)
def test_value_from_logits(name):
    target, hyper = TOKEN_CASES[name]
    objective, (_, signals) = alone(target, **hyper), token_signals()
    loss = objective(**given(objective, signals)).loss
    assert_close(loss, tensor(case(name)["loss"]), rtol=1e-9, atol=1e-9)
    single = {k: v.float() for k, v in given(objective, signals).items()}
    assert_close(objective(**single).loss.item(), case(name)["loss"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["reg_forward_kl_seqsum", "reg_reverse_kl_seqsum", "reg_nll_seqmean"])
def test_per_example_values(name):
    target, hyper = TOKEN_CASES[name]
    objective, (_, signals) = alone(target, **hyper), token_signals()
    values = objective(**given(objective, signals)).values["r"]
    assert_close(values.flatten(), tensor(case(name)["per_example"]), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", [n for n in TOKEN_CASES if n.endswith("tokenmean")])
def test_gradient_to_the_logits(name):
    target, hyper = TOKEN_CASES[name]
    objective, (logits, signals) = alone(target, **hyper), token_signals()
    (gradient,) = torch.autograd.grad(objective(**given(objective, signals)).loss, logits)
    assert_close(gradient, tensor(case(name)["grad_logits_w"]), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", PAIR_CASES)
def test_sft_of_pairs(name):
    objective, signals = alone(SFT, reduction=PAIR_CASES[name]), pair_signals()
    outcome = objective(**given(objective, signals))
    assert_close(outcome.loss, tensor(case(name)["loss"]), rtol=1e-9, atol=1e-9)
    single = pair_signals(torch.float32)
    assert_close(objective(**given(objective, single)).loss.item(), case(name)["loss"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["sft_sum", "sft_seqmean"])
def test_sft_of_pairs_per_example_and_gradient(name):
    objective, signals = alone(SFT, reduction=PAIR_CASES[name]), pair_signals()
    outcome = objective(**given(objective, signals))
    assert_close(outcome.values["r"], tensor(case(name)["per_example"]), rtol=1e-9, atol=1e-9)
    (gradient,) = torch.autograd.grad(outcome.loss, signals["logps"])
    expected = tensor([case(name)["grad_logp_w"], case(name)["grad_logp_l"]]).T
    assert_close(gradient, expected, rtol=1e-9, atol=1e-9)


def test_distance_from_the_start():
    expo = load()["fixtures"]["EXPO"]
    distance = 0.5 * (tensor(expo["theta_aligned"]) - tensor(expo["theta_sft"])).square().sum()
    objective = alone("alignlab.regularizers.l2_to_reference.l2_to_reference")
    loss = objective(parameter_distance=distance, labels=tensor([[1.0, 0.0]])).loss
    assert_close(loss, tensor(case("reg_l2_to_ref")["loss"]), rtol=1e-9, atol=1e-9)
