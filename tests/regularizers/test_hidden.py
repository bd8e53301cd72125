"""Regularizers of the policy's hidden states."""

import math

import pytest
import torch
from torch.testing import assert_close

from alignlab import load_objective
from alignlab.errors import ConfigError
from alignlab.objective.load import build_term
from alignlab.objective.objective import Objective
from alignlab.regularizers.preference_degree import PreferenceDegree, degree_losses
from alignlab.regularizers.simctg import simctg
from tests.vectors import case, load, more, tensor

ONE = torch.ones(1, 1, dtype=torch.float64)


def states(tokens=4, width=3, lists=2, responses=2, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(lists, responses, tokens, width, generator=rng, dtype=torch.float64)


def contrast(hidden, lengths, margin=0.5):
    """One response a list, given as [L, D]."""
    return simctg(hidden[None, None], lengths * ONE, ONE, ONE > 0, margin=margin)


def test_simctg_of_the_vectors():
    vector = more()["F1_simctg"]
    value = contrast(tensor(vector["inputs"]["h"]), 3, vector["inputs"]["margin"])
    assert_close(value, tensor([vector["outputs"]["loss"]]), rtol=1e-9, atol=1e-9)
    single = simctg(tensor(vector["inputs"]["h"])[None, None].float(), 3 * ONE.float(), ONE.float(), ONE > 0)
    assert_close(single.item(), vector["outputs"]["loss"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("margin", [0.5, 1.25])
def test_simctg_of_orthogonal_states(margin):
    assert contrast(torch.eye(4, dtype=torch.float64), 4, margin).item() == max(0.0, margin - 1)


def test_simctg_of_a_lone_token():
    assert contrast(torch.ones(3, 2, dtype=torch.float64), 1).item() == 0


def test_simctg_looks_at_the_best_response_alone():
    """And at none of its padding; whatever else the tensor holds gets no gradient at all."""
    hidden = states(lists=1).requires_grad_()
    labels, lengths = tensor([[0.2, 0.7]]), tensor([[4.0, 3.0]])
    term = build_term("r", {"_target_": "alignlab.regularizers.simctg.simctg", "margin": 2.0}, "r")
    loss = Objective("r", term)(hidden=hidden, labels=labels, lengths=lengths).loss
    assert_close(loss, contrast(hidden[0, 1, :3], 3, 2.0).squeeze())
    (gradient,) = torch.autograd.grad(loss, hidden)
    assert (gradient[0, 0] == 0).all()
    assert (gradient[0, 1, 3:] == 0).all()
    assert (gradient[0, 1, :3] != 0).all()


@pytest.mark.parametrize(("dtype", "error"), [(torch.float64, 1e-9), (torch.float32, 1e-5)])
def test_degrees_of_the_vectors(dtype, error):
    """The vectors add gamma times the degree's loss to DPO's."""
    head, expected = load()["fixtures"]["SPO_HEAD"], case("spo_degree")
    losses = degree_losses(tensor(head["head_logits"], dtype), torch.tensor(head["degree"]))
    total = tensor(case("dpo")["per_example"], dtype) + expected["hparams"]["gamma"] * losses
    assert_close(total, tensor(expected["per_example"], dtype), rtol=error, atol=error)


def degree_objective(**settings):
    return load_objective("dpo", regularizers={"preference_degree": settings})


def batch(objective, hidden, labels):
    given = {"hidden": hidden, "labels": labels, "lengths": tensor([[4.0, 2.0], [1.0, 3.0]])}
    given |= {"logps": tensor([[-8.0, -6.0]] * 2), "ref_logps": tensor([[-8.0, -6.0]] * 2)}
    return {k: v for k, v in given.items() if k in objective.signals}


def test_an_untrained_head_knows_nothing():
    objective = degree_objective(levels=5)
    objective.bind({"hidden": (3,)})
    outcome = objective(**batch(objective, states(), tensor([[0.2, 0.7], [1.0, 0.0]])))
    assert_close(outcome.values["preference_degree"], torch.full((2, 2), math.log(5), dtype=torch.float64))
    assert sum(p.numel() for p in objective.modules["preference_degree"].parameters()) == 5 * 3 + 5


@pytest.mark.parametrize("pool", ["last", "mean"])
def test_a_head_reads_the_response_and_its_degree(pool):
    objective = degree_objective(levels=2, pool=pool)
    objective.bind({"hidden": (3,)})
    module = objective.modules["preference_degree"]
    torch.nn.init.normal_(module.head.weight, generator=torch.Generator().manual_seed(0))
    hidden, labels = states(), tensor([[0.2, 0.7], [1.0, 0.0]])
    values = objective(**batch(objective, hidden, labels)).values["preference_degree"]
    tokens = [[hidden[0, 0, :4], hidden[0, 1, :2]], [hidden[1, 0, :1], hidden[1, 1, :3]]]
    for row, degrees in enumerate([[1, 0], [0, 1]]):
        for slot, degree in enumerate(degrees):
            state = tokens[row][slot][-1] if pool == "last" else tokens[row][slot].mean(dim=0)
            logits = state @ module.head.weight.double().T
            assert_close(values[row, slot], -logits.log_softmax(0)[degree])


def test_a_head_learns():
    """Two directions stand for two degrees."""
    objective = degree_objective(levels=2)
    objective.bind({"hidden": (2,)})
    module = objective.modules["preference_degree"]
    hidden = torch.eye(2, dtype=torch.float64)[None, :, None].expand(2, 2, 4, 2)
    given = batch(objective, hidden, tensor([[1.0, 0.0]] * 2))
    optimizer = torch.optim.SGD(module.parameters(), lr=5.0)
    for _ in range(100):
        optimizer.zero_grad()
        objective(**given).parts["preference_degree"].mean.backward()
        optimizer.step()
    assert objective(**given).parts["preference_degree"].mean.item() < 0.05


def test_binding_again_keeps_a_head_that_fits():
    torch.manual_seed(0)
    state = torch.get_rng_state()
    module = PreferenceDegree(levels=3)
    module.bind({"hidden": (4,)})
    torch.nn.init.ones_(module.head.weight)
    module.bind({"hidden": (4,)})
    assert (module.head.weight == 1).all()
    module.bind({"hidden": (6,)})
    assert module.head.weight.shape == (3, 6)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_head_without_a_size():
    objective = degree_objective()
    with pytest.raises(ConfigError, match="preference_degree has no head yet"):
        objective(**batch(objective, states(), tensor([[0.2, 0.7], [1.0, 0.0]])))


@pytest.mark.parametrize(
    ("settings", "message"), [({"levels": 1}, "levels=1"), ({"pool": "lst"}, "did you mean 'last'?")]
)
def test_settings_that_cannot_work(settings, message):
    with pytest.raises(ConfigError) as error:
        degree_objective(**settings)
    assert message in str(error.value)


def test_absent_responses_have_no_degree():
    objective = degree_objective()
    objective.bind({"hidden": (3,)})
    given = batch(objective, states().requires_grad_(), tensor([[0.2, 0.7], [1.0, 0.0]]))
    torch.nn.init.ones_(objective.modules["preference_degree"].head.weight[:1])
    where = torch.tensor([[True, True], [True, False]])
    outcome = objective(**given, where=where)
    (gradient,) = torch.autograd.grad(outcome.loss, given["hidden"])
    assert outcome.values["preference_degree"][1, 1] == 0
    assert outcome.parts["preference_degree"].count == 3
    assert (gradient[1, 1] == 0).all()
