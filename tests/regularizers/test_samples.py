"""Divergence on log-ratios: what the estimators measure, and where their gradients point."""

import pytest
import torch
from torch.testing import assert_close

from alignlab import load_objective
from alignlab.errors import ConfigError
from alignlab.objective.load import build_term
from alignlab.objective.objective import Objective
from alignlab.regularizers.hypo import hypo
from alignlab.regularizers.kl import estimate
from tests.vectors import case, load, more, pair_signals, tensor

KL = "alignlab.regularizers.kl.kl"
HYPO = "alignlab.regularizers.hypo.hypo"
SAMPLED = {"responses": "samples", "reduction": "seq_sum"}
EMPTY = {"labels": tensor([[1.0, 0.0]])}


def alone(target, **hyper):
    return Objective("r", build_term("r", {"_target_": target, **hyper}, "regularizers.r"))


def online(dtype=torch.float64):
    """The ONLINE fixture as three samples of one prompt."""
    fixture = load()["fixtures"]["ONLINE"]
    logps = tensor([fixture["logp_on"]], dtype).requires_grad_()
    labels = EMPTY["labels"].to(dtype)
    return {
        "sample_logps": logps,
        "sample_ref_logps": tensor([fixture["ref_logp_on"]], dtype),
        "labels": labels,
    }


@pytest.mark.parametrize(("dtype", "error"), [(torch.float64, 1e-9), (torch.float32, 1e-5)])
@pytest.mark.parametrize("estimator", ["k1", "k2", "k3"])
def test_estimates_of_the_vectors(estimator, dtype, error):
    expected = case(f"kl_{estimator}")
    signals = online(dtype)
    loss = alone(KL, estimator=estimator, **SAMPLED)(**signals).loss
    assert_close(loss, tensor(expected["loss"], dtype), rtol=error, atol=error)
    singles = estimate(signals["sample_logps"] - signals["sample_ref_logps"], estimator)[0]
    assert_close(singles, tensor(expected["per_example"], dtype), rtol=error, atol=error)


@pytest.mark.parametrize(("dtype", "error"), [(torch.float64, 1e-9), (torch.float32, 1e-5)])
@pytest.mark.parametrize(("baseline", "name"), [("none", "surrogate"), ("rloo", "rloo")])
def test_hypo_of_the_vectors(baseline, name, dtype, error):
    expected = case(f"hypo_online_kl_{name}")
    signals = online(dtype)
    loss = alone(HYPO, baseline=baseline)(**signals).loss
    (gradient,) = torch.autograd.grad(loss, signals["sample_logps"])
    assert_close(loss, tensor(expected["loss"], dtype), rtol=error, atol=error)
    assert_close(gradient, tensor([expected["grad_logp_on"]], dtype), rtol=error, atol=error)


def test_hypo_beside_dpo():
    """Samples of each of the four prompts; the mean is that of the fixture."""
    hyper = case("hypo_total")["hparams"]
    objective = load_objective("dpo", beta=hyper["beta"], regularizers={"hypo": hyper["lam"]})
    samples = {k: v.expand(4, -1) for k, v in online().items() if k != "labels"}
    given = {k: v for k, v in pair_signals().items() if k in objective.signals} | samples
    assert_close(objective(**given).loss, tensor(case("hypo_total")["loss"]), rtol=1e-9, atol=1e-9)


def toy():
    """C1 of the second file: log-probabilities of policy (by logits) and reference over three outcomes."""
    toy = more()["C1_hypo_kl"]
    return toy["inputs"], toy["outputs"]


@pytest.mark.parametrize("estimator", ["k1", "k2", "k3"])
def test_expectation_over_the_policy(estimator):
    inputs, outputs = toy()
    policy, reference = tensor(inputs["pi"]), tensor(inputs["ref"])
    values = estimate((policy / reference).log(), estimator)
    assert_close((policy * values).sum(), tensor(outputs[f"E_{estimator}"]), rtol=1e-9, atol=1e-12)
    if estimator == "k3":
        assert_close(values, tensor(outputs["per_sample_k3"]), rtol=1e-9, atol=1e-12)


def expected_gradients(function):
    """Of a function of log-probabilities: mean over samples of the policy of its gradient by the logits."""
    logits = torch.tensor([0.1, -0.2, 0.3], dtype=torch.float64, requires_grad=True)
    reference = torch.tensor([0.4, 0.4, 0.2], dtype=torch.float64).log()
    policy = logits.log_softmax(0)
    (found,) = torch.autograd.grad(
        (policy.exp().detach() * function(policy, reference)).sum(), logits, retain_graph=True
    )
    exact = {
        "reverse": (policy.exp() * (policy - reference)).sum(),
        "forward": (reference.exp() * (reference - policy)).sum(),
    }
    wanted = {k: torch.autograd.grad(v, logits, retain_graph=True)[0] for k, v in exact.items()}
    return found, wanted | {"none": torch.zeros_like(logits)}


@pytest.mark.parametrize(("estimator", "direction"), [("k1", "none"), ("k2", "reverse"), ("k3", "forward")])
def test_where_the_gradient_of_an_estimate_points(estimator, direction):
    found, exact = expected_gradients(lambda policy, reference: estimate(policy - reference, estimator))
    assert_close(found, exact[direction], rtol=1e-9, atol=1e-12)


def test_hypo_has_the_gradient_of_the_reverse_divergence():
    """Of one sample each; and the leave-one-out baseline of two is the vectors'."""
    found, exact = expected_gradients(lambda p, r: hypo(p[:, None], r[:, None]))
    assert_close(found, exact["reverse"], rtol=1e-9, atol=1e-12)
    inputs, outputs = toy()
    logps = tensor([inputs["two_sample_logratios"]]).requires_grad_()
    loss = 2 * hypo(logps, torch.zeros_like(logps), baseline="rloo").sum()
    (coefficients,) = torch.autograd.grad(loss, logps)
    assert_close(coefficients, tensor([outputs["rloo_coeff_k2"]]), rtol=1e-9, atol=1e-12)


def test_a_lone_sample_has_no_baseline():
    logps, ref = tensor([[-3.0], [-5.0]]), tensor([[-2.0], [-6.0]])
    assert_close(hypo(logps, ref, baseline="rloo"), hypo(logps, ref))


@pytest.mark.parametrize(
    ("reduction", "expected"),
    [("seq_sum", (2 + 0.5) / 2), ("seq_mean", (2 / 4 + 0.5 / 5) / 2), ("token_mean", (2 + 0.5) / 9)],
)
def test_estimates_on_the_data_are_reduced_as_the_exact_ones(reduction, expected):
    objective = alone(KL, estimator="k2", reduction=reduction)
    signals = {"logps": tensor([[-8.0, -6.0]]), "ref_logps": tensor([[-10.0, -5.0]])}
    loss = objective(**signals, lengths=tensor([[4.0, 5.0]])).loss
    assert loss.item() == pytest.approx(expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("estimator", ["k1", "k2", "k3", "hypo"])
def test_far_from_the_reference(estimator, dtype):
    logps = tensor([[-1e5, 1e5]], dtype).requires_grad_()
    zeros = torch.zeros_like(logps)
    value = (
        hypo(logps, zeros, baseline="rloo").sum() if estimator == "hypo" else estimate(logps, estimator).sum()
    )
    (gradient,) = torch.autograd.grad(value, logps)
    assert value.isfinite()
    assert gradient.isfinite().all()


@pytest.mark.parametrize("target", [KL, HYPO])
def test_an_empty_list_counts_nowhere(target):
    hyper = {"estimator": "k2", **SAMPLED} if target == KL else {}
    signals = {"sample_logps": tensor([[-3.0], [-5.0]]), "sample_ref_logps": tensor([[-2.0], [-6.0]])}
    where = torch.tensor([[True, True], [False, False]])
    outcome = alone(target, **hyper)(**signals, labels=EMPTY["labels"].expand(2, 2), where=where)
    assert outcome.parts["r"].count.item() == 1
    assert outcome.loss.item() == pytest.approx(0.5 if target == KL else 3.0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"responses": "samples"}, "estimator=exact: samples have log-ratios only"),
        ({"responses": "sample"}, "did you mean 'samples'?"),
        ({"estimator": "k3", "direction": "forward"}, "direction=forward: k3 estimates the reverse"),
        ({"estimator": "k2", "responses": "samples"}, "set reduction=seq_sum"),
        ({"estimator": "k4"}, "valid names: exact, k1, k2, k3"),
    ],
)
def test_options_that_do_not_go_together(settings, message):
    with pytest.raises(ConfigError) as error:
        load_objective("dpo", regularizers={"kl": settings})
    assert message in str(error.value)


def test_estimates_need_no_vocabulary():
    objective = load_objective("dpo", regularizers={"kl": {"estimator": "k3"}})
    assert not objective.signals & {"kl_reverse", "kl_forward"}
    assert {"sample_logps", "sample_ref_logps"} <= load_objective("dpo", regularizers=["hypo"]).signals
