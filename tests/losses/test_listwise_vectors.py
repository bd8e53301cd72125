"""Listwise losses: the shared vectors, what they come to on two responses, and odd lists."""

import math

import pytest
import torch
from torch.testing import assert_close

from alignlab import load_objective
from alignlab.errors import ConfigError
from alignlab.losses.lists import lipo
from alignlab.losses.lists import pro as of_pro
from alignlab.losses.lists import tpo_tree as of_tpo
from alignlab.losses.lists.d2o import d2o
from alignlab.losses.lists.exo_list import exo_list
from alignlab.losses.lists.lipo import lipo_pair_hinge, lipo_pair_logistic
from tests.losses.calls import values_of, without_reports
from tests.losses.vector_cases import LISTS
from tests.vectors import case, given, load, more, tensor

lipo_lambda, pro, tpo_tree = map(without_reports, (lipo.lipo_lambda, of_pro.pro, of_tpo.tpo_tree))

# Signals: log-ratios (or log-probabilities), labels, where, on lists of 4, 3, 2, 1 and 0
WHERE = torch.arange(4) < torch.tensor([[4], [3], [2], [1], [0]])
SCORES = torch.tensor(
    [[1.5, -2.0, 0.5, 3.0], [4.0, -1.0, 2.5, 0], [-0.5, 0.75, 0, 0], [2.0, 0, 0, 0], [0] * 4]
).double()
LABELS = torch.tensor(
    [[0.2, 0.9, 0.6, 0.4], [1.0, 0.0, 0.7, 0], [0.0, 1.0, 0, 0], [0.5, 0, 0, 0], [0] * 4]
).double()


def pro_of(temperature):
    """PRO as a function of mean log-probabilities, as the other losses are of log-ratios."""
    return lambda scores, labels, where: pro(
        -scores.abs(), 2 * where.to(scores.dtype), labels, where, temperature=temperature
    )


def tree_of(form, emphasis):
    """Tree PO of log-ratios, cut in two steps."""

    def loss(scores, labels, where):
        steps = torch.stack([0.25 * scores, 0.75 * scores], dim=2)
        lengths = torch.tensor([2.0, 3.0]).to(scores.dtype).expand_as(steps) * where[:, :, None]
        apart = labels[:, :, None] - labels[:, None, :]
        cosines = torch.stack([torch.cos(apart), torch.cos(3 * apart)], dim=3)
        return tpo_tree(steps, lengths, cosines, labels, where, form=form, emphasis=emphasis)

    return loss


def value_and_gradient(loss, scores, labels, where):
    scores = scores.clone().requires_grad_()
    values = values_of(loss(scores, labels, where))
    (gradient,) = torch.autograd.grad(values.sum(), scores)
    return values.detach(), gradient


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("vector", LISTS)
def test_vector(vector, dtype):
    name, hyper = LISTS[vector]
    lists, expected = load()["fixtures"]["LIST"], case(vector)
    signals = {key: tensor(lists[key], dtype) for key in ("logps", "ref_logps", "labels")}
    signals |= {
        "lengths": tensor(lists["lens"], dtype),
        "where": torch.tensor(lists["mask"], dtype=torch.bool),
    }
    logps = signals["logps"].requires_grad_()
    objective = load_objective(name, **hyper)
    outcome = objective(**given(objective, signals))
    (gradient,) = torch.autograd.grad(outcome.loss, logps)
    exact = {"rtol": 1e-9, "atol": 1e-9} if dtype == torch.float64 else {"rtol": 1e-5, "atol": 1e-5}
    assert_close(outcome.values[name], tensor(expected["per_example"], dtype), **exact)
    assert_close(outcome.loss, tensor(expected["loss"], dtype), **exact)
    assert_close(gradient, tensor(expected["grad_logps"], dtype), **exact)


def test_every_vector_of_lists_is_used():
    of_lists = {vector for vector, found in load()["cases"].items() if found["fixture"] == "LIST"}
    assert of_lists - set(LISTS) <= {"lipo_lambda_at_init"}


@pytest.mark.parametrize("references", [1, 2])
def test_vector_of_d2o(references):
    inputs, expected = load()["fixtures"]["D2O"], case("d2o")
    own = tensor([[*s, n] for s, n in zip(inputs["logp_self"], inputs["logp_neg"], strict=True)])
    harmful = tensor([[*s, 0.0] for s in inputs["refneg_logp_self"]])
    helpful = tensor([[0.0] * 3 + [n] for n in inputs["refpos_logp_neg"]])
    labels, where = tensor([[1, 1, 1, 0]] * 2), torch.ones(2, 4, dtype=torch.bool)
    loss = d2o(**expected["hparams"], references=references)
    signals = (own - harmful - helpful,) if references == 1 else (own, harmful, helpful[..., None])
    values = values_of(loss(*signals, labels, where))
    assert_close(values, tensor(expected["per_example"]), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("step_agg", ["mean", "sum"])
def test_vector_of_tpo(step_agg):
    given, expected = load()["fixtures"]["TPO"], case("tpo_tree")
    lengths = 4 * tensor(given["step_mask"])
    steps = tensor(given["step_logratio"]) * (lengths if step_agg == "mean" else 1)
    cosines = torch.full((1, 3, 3, 3), math.nan, dtype=torch.float64)
    cosines[0, 0] = tensor(given["step_cos"])
    labels, where = tensor([given["labels"]]), torch.ones(1, 3, dtype=torch.bool)
    options = {"form": "normalized", "step_agg": step_agg}
    values = tpo_tree(steps[None], lengths[None], cosines, labels, where, beta=0.5, **options)
    assert_close(values, tensor(expected["per_example"]), rtol=1e-9, atol=1e-9)


def test_vector_of_tpo_as_printed():
    """Lambda-weighted loss of given rewards (one step, no emphasis), and the adaptive margin."""
    vector = more()["A12_tpo"]
    given, expected = vector["inputs"], vector["outputs"]
    labels, where = tensor([given["v"]]), torch.ones(1, 3, dtype=torch.bool)
    steps = tensor([given["r"]])[:, :, None] / given["beta"]
    none = torch.zeros(1, 3, 3, 1, dtype=torch.float64)
    printed = {"form": "paper", "step_agg": "sum", "beta": given["beta"]}
    values = tpo_tree(steps, torch.ones_like(steps), none, labels, where, emphasis="none", **printed)
    assert_close(values, tensor([expected["loss"]]), rtol=1e-9, atol=1e-9)

    steps = torch.stack([tensor(given["step_logratio_diff"]), torch.zeros(3).double()])[None]
    cosines = tensor(given["step_cos"]).expand(1, 2, 2, 3)
    value = tpo_tree(steps, 7 + 0 * steps, cosines, tensor([[1.0, 0.0]]), where[:, :2], **printed)
    drop = 1 / math.log(2) - 1 / math.log(3)
    assert value.item() == pytest.approx(drop * math.log(1 + math.exp(-expected["adaptive_RM"])))


@pytest.mark.parametrize("form", ["normalized", "paper"])
@pytest.mark.parametrize(
    "options", [{}, {"gain": "linear", "discount": "log2"}, {"topn": 1, "pair_mean": True}]
)
def test_tpo_of_one_step_is_lipo_lambda(form, options):
    steps, lengths = SCORES[:, :, None], WHERE[:, :, None].double()
    cosines = torch.zeros(5, 4, 4, 1, dtype=torch.float64)
    values = tpo_tree(steps, lengths, cosines, LABELS, WHERE, beta=0.5, form=form, **options)
    assert_close(values, lipo_lambda(SCORES, LABELS, WHERE, beta=0.5, **options))


def test_tpo_on_steps_the_best_response_lacks():
    """They count nothing in the normalized form, and only where both have them as printed."""
    steps, lengths = tensor([[[0.5, 0.0], [0.25, 9.0]]]), tensor([[[2, 0], [2, 2]]])
    labels, where, cosines = (
        tensor([[1, 0]]),
        torch.ones(1, 2, dtype=torch.bool),
        torch.zeros(1, 2, 2, 2).double(),
    )
    normalized = {"form": "normalized", "step_agg": "mean"}
    short = tpo_tree(steps[:, :, :1], lengths[:, :, :1], cosines[..., :1], labels, where, **normalized)
    assert_close(tpo_tree(steps, lengths, cosines, labels, where, **normalized), short)
    printed = tpo_tree(steps, lengths, cosines, labels, where, form="paper", step_agg="mean")
    drop = 1 / math.log(2) - 1 / math.log(3)
    assert printed.item() == pytest.approx(drop * math.log(1 + math.exp(-0.5 * 0.125)))


def test_a_step_that_all_responses_share_cancels_by_default():
    steps, lengths = torch.randn(1, 3, 4, dtype=torch.float64), torch.full((1, 3, 4), 5.0).double()
    labels, where = tensor([[1.0, 0.4, 0.0]]), torch.ones(1, 3, dtype=torch.bool)
    cosines = torch.rand(1, 3, 3, 4, dtype=torch.float64)
    shifted = steps + tensor([0.0, 2.5, 0.0, 0.0])  # what a shared step gained, it gained for all
    assert_close(
        tpo_tree(steps, lengths, cosines, labels, where), tpo_tree(shifted, lengths, cosines, labels, where)
    )


def test_no_gradient_through_the_cosines():
    cosines = torch.rand(1, 2, 2, 3, dtype=torch.float64).requires_grad_()
    steps = torch.rand(1, 2, 3, dtype=torch.float64).requires_grad_()
    labels, where = tensor([[1, 0]]), torch.ones(1, 2, dtype=torch.bool)
    for form in ("normalized", "paper"):
        loss = tpo_tree(steps, torch.ones_like(steps), cosines, labels, where, form=form).sum()
        assert torch.autograd.grad(loss, [steps, cosines], allow_unused=True)[1] is None


@pytest.mark.parametrize("labels", [LABELS, 3 * LABELS - 1], ids=["rated", "raw"])
def test_pro_against_a_loop(labels):
    logps, lengths = -SCORES.abs(), 2.0 + torch.arange(20).reshape(5, 4).double()
    values = pro(logps, lengths, labels, WHERE, sft_weight=0.1)
    for b in range(5):
        real = range(int(WHERE[b].sum()))
        order = sorted(real, key=lambda i: -labels[b, i])
        s, r = [(logps[b, i] / lengths[b, i]).item() for i in order], [labels[b, i].item() for i in order]
        expected = 0.0
        for k in range(len(order) - 1):
            own = s[k] * (r[k] - r[-1])
            rest = sum(math.exp(s[i] * (r[k] - r[i])) for i in range(k + 1, len(order)))
            expected += math.log(math.exp(own) + rest) - own
        if order:
            expected -= 0.1 * (len(order) - 1) ** 2 * logps[b, order[0]].item()
        assert values[b].item() == pytest.approx(expected)


def test_pro_does_not_set_equals_against_each_other():
    logps, labels = tensor([[-1, -2, -3]]), tensor([[1, 1, 0]])
    where, lengths = torch.ones(1, 3, dtype=torch.bool), torch.ones(1, 3).double()
    pairs = [math.log(1 + math.exp(-3 + own)) for own in (1, 2)]
    assert pro(logps, lengths, labels, where, sft_weight=0.0).item() == pytest.approx(sum(pairs))
    assert pro(logps, lengths, 0 * labels, where, sft_weight=0.0).item() == 0


def test_constant_lambda_weights_are_the_pair_logistic_loss():
    """On two responses a swap of ranks is always worth the same."""
    pairs = torch.ones(5, 2, dtype=torch.bool)
    scores, labels = SCORES[:, :2], LABELS[:, :2]
    weights = (labels[:, 0].exp2() - labels[:, 1].exp2()).abs() * (1 / math.log(2) - 1 / math.log(3))
    assert_close(lipo_lambda(scores, labels, pairs), weights * lipo_pair_logistic(scores, labels, pairs))


def test_exo_and_its_zero():
    assert (exo_list(SCORES, LABELS, WHERE) >= 0).all()
    agreeing = exo_list(LABELS / 0.002, LABELS, WHERE, beta=0.1, beta_r=0.02)
    assert_close(agreeing, torch.zeros(5).double())


def test_d2o_takes_the_last_of_the_lowest():
    where, labels = torch.ones(1, 3, dtype=torch.bool), tensor([[0, 1, 0]])
    moved, _ = value_and_gradient(d2o(), tensor([[3, 1, 2]]), labels, where)
    assert moved.item() == pytest.approx(math.log(1 + math.exp(-0.1 * ((3 + 1) / 2 - 2))))


def test_pair_mean():
    counts = torch.tensor([6, 3, 1, 1, 1])
    for loss in (lipo_pair_logistic, lipo_pair_hinge):
        assert_close(loss(SCORES, LABELS, WHERE, pair_mean=True), loss(SCORES, LABELS, WHERE) / counts)


@pytest.mark.parametrize(
    "call",
    [
        lambda: tree_of("normalised", "same")(SCORES, LABELS, WHERE),
        lambda: tree_of("paper", "samee")(SCORES, LABELS, WHERE),
        lambda: pro_of("rewards")(SCORES, LABELS, WHERE),
        lambda: d2o(references=3),
    ],
)
def test_unknown_options_name_the_valid_ones(call):
    with pytest.raises(ConfigError, match=r"did you mean|valid names"):
        call()
