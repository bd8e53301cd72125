"""The loss of rerankers: its weights are those of the gradients, computed the plain way."""

import pytest
import torch
import torch.nn.functional as F

from alignlab.losses.pairs.more import shortest
from alignlab.objective.load import load_objective

LABELS = torch.tensor([[1.0, 0.0, 0.5, 0.0], [0.0, 1.0, 1.0, 9.0]], dtype=torch.float64)
WHERE = torch.tensor([[True] * 4, [True] * 3 + [False]])
WANTED = torch.tensor([1, 0, 0, 0, 0, 1, 1])
TAU = 0.1


def drawn():
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(2, 4, 3, generator=generator, dtype=torch.float64)
    return states, torch.randn(3, generator=generator, dtype=torch.float64)


def plain_tasks(states, head):
    """The three losses, document by document and pair by pair."""
    values = states @ head
    of_class = F.binary_cross_entropy_with_logits(values[WHERE], WANTED.double())
    pairs = [(values[0], 4, LABELS[0]), (values[1], 3, LABELS[1])]
    gaps = [v[i] - v[j] for v, size, y in pairs for i in range(size) for j in range(size) if y[i] > y[j]]
    directions = F.normalize(states[WHERE], dim=1)
    logits = directions @ directions.detach().T / TAU
    contrasts = []
    for i in range(7):
        others = torch.tensor([j for j in range(7) if j != i])
        alike = [j for j in others.tolist() if WANTED[j] == WANTED[i]]
        contrasts.append(logits[i, others].logsumexp(0) - logits[i, alike].mean())
    return [of_class, -F.logsigmoid(torch.stack(gaps)).mean(), torch.stack(contrasts).mean()]


@pytest.mark.parametrize("normalize", [True, False])
def test_weights_are_the_shortest_mixture_of_the_gradients_by_hidden_states(normalize):
    states, head = drawn()
    states.requires_grad_()
    tasks = plain_tasks(states, head)
    slopes = torch.stack(
        [torch.autograd.grad(task, states, retain_graph=True)[0].flatten() for task in tasks]
    )
    weights = shortest(F.normalize(slopes, dim=1) if normalize else slopes)
    objective = load_objective("dpa_rag", tau=TAU, normalize=normalize)
    slope = head.expand_as(states)
    outcome = objective(
        values=states @ head, embeddings=states, value_slopes=slope, labels=LABELS, where=WHERE
    )
    reported = torch.stack(
        [outcome.reports[f"dpa_rag/{name}"].mean for name in ("class", "rank", "contrast")]
    )
    torch.testing.assert_close(reported, weights)
    assert reported.min() >= 0
    torch.testing.assert_close(reported.sum(), torch.ones_like(weights[0]))
    expected = sum(weight * task for weight, task in zip(weights, tasks, strict=True))
    torch.testing.assert_close(outcome.loss, expected)
    (found,) = torch.autograd.grad(outcome.loss, states, retain_graph=True)
    torch.testing.assert_close(found, torch.autograd.grad(expected, states)[0])
    assert (slopes @ found.flatten() >= -1e-12).all() or normalize  # a step goes against no task


def test_documents_that_are_alone_of_their_kind_have_no_contrast():
    states, head = drawn()
    signals = {"embeddings": states[:1, :1], "value_slopes": states[:1, 1:2], "labels": LABELS[:1, :1]}
    outcome = load_objective("dpa_rag")(values=(states @ head)[:1, :1], **signals)
    assert outcome.loss.isfinite()
