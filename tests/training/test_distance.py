"""The distance from the start: its value, and a gradient that engines get beside theirs."""

import torch
from torch import nn

from alignlab.training.distance import Distance


def moved() -> tuple[nn.Module, Distance, dict[str, torch.Tensor]]:
    """A layer, the distance from where it was, and how far that is."""
    torch.manual_seed(0)
    layer = nn.Sequential(nn.Linear(3, 2, dtype=torch.float64), nn.Linear(2, 2, dtype=torch.float64))
    layer[1].requires_grad_(False)
    distance, steps = Distance(layer), {}
    with torch.no_grad():
        for name, parameter in layer[0].named_parameters():
            steps[name] = torch.randn_like(parameter)
            parameter += steps[name]
    return layer, distance, steps


def test_it_is_half_the_squares_of_what_is_trained():
    _, distance, steps = moved()
    expected = sum(step.square().sum() for step in steps.values()) / 2
    torch.testing.assert_close(distance().detach(), expected)


def test_its_gradient_comes_on_top_once_for_all_micro_batches():
    layer, distance, steps = moved()
    distance().backward()  # of something before the step
    distance.forget()
    for share in (0.25, 0.5):
        (layer[0](torch.ones(3, dtype=torch.float64)).sum() + share * distance().square()).backward()
    distance.pull()
    slope = 2 * 0.75 * distance().item()
    torch.testing.assert_close(layer[0].bias.grad, 2 + slope * steps["bias"])
    torch.testing.assert_close(layer[0].weight.grad, 2 + slope * steps["weight"])
    assert layer[1].weight.grad is None
