"""Scores under a live reference, and exact divergences from it."""

import pytest
import torch

from alignlab.data.batches import collate
from tests.data.ragged import draw, token_rows
from tests.policies.models import FLOAT32_NORMS, VOCABULARY, gradients, naive_logps, policy, token_logps

ROWS = [([5], [[7]]), *draw((2, 3, 4), vocabulary=VOCABULARY, seed=4)]
BOTH = ("kl_reverse", "kl_forward")


def scored(model, reference, divergences=BOTH):
    batch = collate(token_rows(ROWS), range(len(ROWS)))
    return batch, model(batch, reference=reference, divergences=divergences)


def naive_divergences(model, reference):
    """(KL(model || reference), KL(reference || model)) of every response, token by token."""
    for prompt, responses in ROWS:
        for response in responses:
            ours, theirs = token_logps(model, prompt, response), token_logps(reference, prompt, response)
            yield (
                sum((p.exp() * (p - q)).sum() for p, q in zip(ours, theirs, strict=True)),
                sum((q.exp() * (q - p)).sum() for p, q in zip(ours, theirs, strict=True)),
            )


@pytest.mark.parametrize("family", ["llama", "gemma2", "cohere"])
def test_divergences_and_their_gradients_are_the_plain_ones(family):
    model, reference = policy(family), policy(family, seed=1)
    expected = [
        torch.stack(values) for values in zip(*naive_divergences(model.model, reference.model), strict=True)
    ]
    (expected[0].sum() + 2 * expected[1].sum()).backward()
    wanted = gradients(model)
    gradients(reference)

    batch, scores = scored(model, reference)
    for name, values in zip(BOTH, expected, strict=True):
        torch.testing.assert_close(getattr(scores, name)[batch.where], values, atol=1e-9, rtol=1e-10)
        assert values.min() > 0.01
    (scores.kl_reverse.sum() + 2 * scores.kl_forward.sum()).backward()
    found = gradients(model)
    assert found.keys() == wanted.keys()
    tolerance = 1e-5 if family in FLOAT32_NORMS else 1e-8
    for name, grad in wanted.items():
        torch.testing.assert_close(found[name], grad, atol=tolerance, rtol=tolerance)
    assert gradients(reference) == {}


def test_reference_scores_are_the_plain_ones_and_have_no_gradient():
    model, reference = policy(), policy(seed=1)
    batch, scores = scored(model, reference, divergences=())
    expected = torch.stack([v for group in naive_logps(reference.model, ROWS) for v in group])
    torch.testing.assert_close(scores.ref_logps[batch.where], expected.detach(), atol=1e-10, rtol=0)
    assert not scores.ref_logps.requires_grad
    assert scores.kl_reverse is None
    assert scores.kl_forward is None


@pytest.mark.parametrize("name", BOTH)
def test_only_the_divergence_asked_for_is_computed(name):
    _, scores = scored(policy(), policy(seed=1), divergences=(name,))
    _, both = scored(policy(), policy(seed=1))
    torch.testing.assert_close(getattr(scores, name), getattr(both, name))
    assert [getattr(scores, other) for other in BOTH if other != name] == [None]


def test_a_policy_does_not_diverge_from_itself():
    model = policy()
    _, scores = scored(model, model)
    assert torch.equal(scores.logps, scores.ref_logps)
    assert scores.kl_reverse.abs().max() < 1e-12
    assert scores.kl_forward.abs().max() < 1e-12
    scores.kl_reverse.sum().backward()
    assert max(grad.abs().max() for grad in gradients(model).values()) < 1e-10


def test_without_a_reference_there_is_nothing_to_compare_with():
    batch = collate(token_rows(ROWS), range(len(ROWS)))
    scores = policy()(batch)
    assert scores.ref_logps is None
    assert scores.kl_reverse is None
