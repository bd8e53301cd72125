"""What terms have learned or counted is saved and loaded, and validation leaves it alone."""

import io
from copy import deepcopy

import pytest
import torch

from tests.invariants.batches import loss_and_gradients, random_signals, step
from tests.invariants.cases import STATEFUL, build


def trained(case):
    """An objective after some steps on other data."""
    objective = build(case)
    parameters = [p for module in objective.modules.values() for p in module.parameters()]
    for seed in (1, 2, 3):
        batch = random_signals(objective, seed=seed)
        loss = objective(**batch, gathered=step(objective, [batch])[0]).loss
        for parameter in parameters:
            (slope,) = torch.autograd.grad(loss, parameter, retain_graph=True)
            parameter.data -= 0.1 * slope
    return objective


def states(objective):
    return {name: module.state_dict() for name, module in objective.modules.items()}


def validated(objective, signals):
    for module in objective.modules.values():
        module.eval()
    return loss_and_gradients(objective, signals)


@pytest.mark.parametrize("case", STATEFUL)
def test_state_goes_through_a_file(case):
    objective, other = trained(case), build(case)
    signals = random_signals(objective)
    loss, slopes = validated(objective, signals)
    assert validated(other, signals)[0] != loss
    file = io.BytesIO()
    torch.save(states(objective), file)
    file.seek(0)
    for name, state in torch.load(file).items():
        other.modules[name].load_state_dict(state)
    found, found_slopes = validated(other, signals)
    assert found == loss
    for name, slope in slopes.items():
        assert torch.equal(found_slopes[name], slope)


@pytest.mark.parametrize("case", STATEFUL)
def test_validation_leaves_the_state_alone(case):
    objective = trained(case)
    before = deepcopy(states(objective))
    validated(objective, random_signals(objective))
    for name, state in states(objective).items():
        for key, value in state.items():
            assert torch.equal(value, before[name][key])
