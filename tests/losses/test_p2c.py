"""The loss of classifiers with preferences: against the shared vectors, and what it comes to at special points."""

import pytest
import torch
import torch.nn.functional as F

from alignlab.losses.lists.p2c import p2c
from alignlab.objective.load import load_objective
from tests.vectors import more, tensor

CASE = more()["B4_p2c"]
GIVEN, WANTED = CASE["inputs"], CASE["outputs"]
OFF = {"consistency": 0.0, "preference": 0.0, "diversity": 0.0}


def vector_signals(heads=1):
    """The two pairs of the vectors, whose responses are all of class 0."""
    probs = torch.stack([tensor(GIVEN["p_label_x1"]), tensor(GIVEN["p_label_x2"])], dim=1)
    values = torch.stack([tensor(GIVEN["head_x1"]), tensor(GIVEN["head_x2"])], dim=1)
    first = tensor(GIVEN["pref_1_means_x1"])
    return {
        "class_logits": torch.stack([probs.log(), (1 - probs).log()], dim=2),
        "preference_values": values.expand(2, 2, heads),
        "ratings": torch.zeros(2, 2, 1, dtype=torch.float64),
        "labels": torch.stack([first, 1 - first], dim=1),
        "where": torch.ones(2, 2, dtype=torch.bool),
    }


def losses(signals, **weights):
    (values, counts), _ = p2c(**signals, **{**OFF, **weights})
    assert counts.all()
    return values


@pytest.mark.parametrize(
    ("weight", "vector"),
    [("consistency", "consistency"), ("preference", "pref_ce"), ("diversity", "head_div")],
)
def test_parts_are_those_of_the_vectors(weight, vector):
    signals = vector_signals(heads=2)
    part = losses(signals, **{weight: 1.0}) - losses(signals)
    found = -part.mean() if weight == "diversity" else part
    torch.testing.assert_close(found, tensor(WANTED[vector]), atol=1e-9, rtol=0)
    entropy = -signals["class_logits"][..., 0].mean(dim=1)
    torch.testing.assert_close(losses(signals), entropy, atol=1e-12, rtol=0)


def test_ties_do_not_depend_on_the_order_and_one_head_agrees_with_itself():
    signals = vector_signals()
    tied = signals | {"labels": torch.zeros(2, 2, dtype=torch.float64)}
    turned = {name: value.flip(1) for name, value in tied.items()}
    every = {"consistency": 1.0, "preference": 1.0, "diversity": 1.0}
    torch.testing.assert_close(losses(tied, **every), losses(turned, **every))
    torch.testing.assert_close(losses(tied, **every), losses(signals, **every, tie=1.0))
    gaps = (signals["class_logits"].exp()[:, 0, 0] - signals["class_logits"].exp()[:, 1, 0]).abs()
    torch.testing.assert_close(losses(tied, consistency=1.0) - losses(tied), gaps)
    assert torch.equal(losses(signals, diversity=5.0), losses(signals))


def test_only_pairs_of_one_class_are_compared_and_an_unknown_class_counts_for_nothing():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 2, generator=generator, dtype=torch.float64)
    values = torch.randn(2, 3, 2, generator=generator, dtype=torch.float64)
    classes = tensor([[0.0, 1.0, torch.nan], [torch.nan] * 3])
    outcome = load_objective("p2c")(
        class_logits=logits,
        preference_values=values,
        ratings=classes[..., None],
        labels=tensor([[2.0, 1.0, 0.0]]).expand(2, 3),
    )
    torch.testing.assert_close(outcome.loss, F.cross_entropy(logits[0, :2], torch.tensor([0, 1])))
    assert outcome.parts["p2c"].count == 1
    right = (logits[0, :2].argmax(dim=1) == torch.tensor([0, 1])).double().mean()
    assert outcome.reports["p2c/accuracy"].mean == right
    assert outcome.reports["p2c/consistency"].count == 0
