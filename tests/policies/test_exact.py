"""Packed batches give the log-probabilities and gradients of one row at a time."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from alignlab.data.batches import collate
from alignlab.policies import head
from tests.data.ragged import draw, token_rows
from tests.policies.models import FAMILIES, FLOAT32_NORMS, VOCABULARY, gradients, naive_logps, policy

SIZES = (2, 4, 1, 3)
ROWS = [([5], [[7]]), ([3, 9], [[4], [8, 2, 11]]), *draw(SIZES, vocabulary=VOCABULARY)]


def scored(model, rows):
    batch = collate(token_rows(rows), range(len(rows)))
    return batch, model(batch)


def weighted(values):
    """A sum with a different weight on every response, so that no two gradients can be swapped."""
    flat = [value for group in values for value in group]
    return sum((1 + 0.3 * i) * value for i, value in enumerate(flat))


@pytest.mark.parametrize("family", FAMILIES)
def test_log_probabilities_and_gradients_are_the_plain_ones(family):
    model = policy(family)
    expected = naive_logps(model.model, ROWS)
    weighted(expected).backward()
    wanted = gradients(model)

    batch, scores = scored(model, ROWS)
    found = [row[here] for row, here in zip(scores.logps, batch.where, strict=True)]
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, torch.stack(theirs), atol=1e-10, rtol=0)
    weighted(found).backward()
    ours = gradients(model)
    assert ours.keys() == wanted.keys()
    tolerance = 1e-5 if family in FLOAT32_NORMS else 1e-8
    for name, grad in wanted.items():
        torch.testing.assert_close(ours[name], grad, atol=tolerance, rtol=tolerance)


def test_lengths_and_token_values_belong_to_their_responses():
    batch, scores = scored(policy(), ROWS)
    for b, (_, responses) in enumerate(ROWS):
        assert scores.lengths[b, : len(responses)].tolist() == [len(r) for r in responses]
        assert not scores.lengths[b, len(responses) :].any()
        assert not scores.logps[b, len(responses) :].any()
    by_row = scores.token_logps.split([len(r) for _, group in ROWS for r in group])
    sums = torch.stack([tokens.sum() for tokens in by_row])
    torch.testing.assert_close(sums[batch.slot[batch.where]], scores.logps[batch.where])


@pytest.mark.parametrize("tokens", [1, 3, 1000])
def test_the_size_of_a_chunk_changes_nothing(monkeypatch, tokens):
    model = policy("gemma2")
    _, scores = scored(model, ROWS)
    scores.logps.sum().backward()
    before = gradients(model)
    monkeypatch.setattr(head, "CHUNK_ELEMENTS", tokens * VOCABULARY)
    _, again = scored(model, ROWS)
    again.logps.sum().backward()
    torch.testing.assert_close(again.logps, scores.logps, atol=1e-12, rtol=0)
    for name, grad in gradients(model).items():
        torch.testing.assert_close(grad, before[name], atol=1e-10, rtol=1e-10)


class Largest(TorchDispatchMode):
    """Remembers the most elements that any operation's result had."""

    elements = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **kwargs or {})
        for made in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(made, torch.Tensor):
                self.elements = max(self.elements, made.numel())
        return result


@pytest.mark.parametrize("divergences", [(), ("kl_forward", "kl_reverse")])
def test_logits_of_all_tokens_never_exist(monkeypatch, divergences):
    vocabulary, chunk = 2003, 2
    monkeypatch.setattr(head, "CHUNK_ELEMENTS", chunk * vocabulary)
    model, rows = policy(vocabulary=vocabulary), draw((4, 4, 4, 4), vocabulary=vocabulary, longest=8)
    batch = collate(token_rows(rows), range(len(rows)))
    weights = max(p.numel() for p in model.parameters())
    response_tokens = int(batch.is_response.sum())
    assert response_tokens * vocabulary > 2 * weights  # or the check could not see it
    with Largest() as seen:
        scores = model(batch, reference=policy(seed=1, vocabulary=vocabulary), divergences=divergences)
        total = scores.logps.sum() + (scores.kl_reverse.sum() if divergences else 0)
        total.backward()
    gradients(model)
    assert chunk * vocabulary <= seen.elements <= weights


def test_scores_do_not_change_between_training_and_evaluation():
    for family in FAMILIES:
        model = policy(family)
        torch.manual_seed(3)
        with torch.no_grad():
            first, second = scored(model, ROWS)[1].logps, scored(model, ROWS)[1].logps
            model.eval()
            third = scored(model, ROWS)[1].logps
            model.train()
        assert torch.equal(first, second), family
        assert torch.equal(first, third), family


@pytest.mark.parametrize("family", ["llama", "mistral", "gemma3_text", "gpt2", "opt"])
def test_a_list_scores_the_same_alone_and_in_company(family):
    model = policy(family)
    with torch.no_grad():
        together = scored(model, ROWS)[1].logps
        for b, row in enumerate(ROWS):
            alone = scored(model, [row])[1].logps[0]
            torch.testing.assert_close(alone, together[b, : len(alone)], atol=1e-10, rtol=0)
