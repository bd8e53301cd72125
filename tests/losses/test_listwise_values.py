"""Listwise losses against loops over the formula, in `math`."""

import math
from itertools import product

import pytest
import torch

from alignlab import load_objective

SCORES = [[0.4, -1.3, 0.9, -0.2], [2.0, 0.5, -0.5]]  # log-ratios of two lists, best label not first
LABELS = [[0.9, 0.6, 0.3, 0.1], [0.2, 0.8, 0.5]]


def run(name, scores, labels, **hyper):
    """Loss of each list; the lists are padded to a rectangle with NaN."""
    width = max(len(s) for s in scores)
    pad = lambda rows: torch.tensor(  # noqa: E731
        [r + [math.nan] * (width - len(r)) for r in rows], dtype=torch.float64
    )
    where = ~pad(scores).isnan()
    base = {"logps": pad(scores), "ref_logps": torch.zeros_like(pad(scores)), "labels": pad(labels)}
    return load_objective(name, **hyper)(**base, where=where).values[name].tolist()


def list_mle(scores, labels, beta):
    order = sorted(range(len(scores)), key=lambda i: -labels[i])
    z = [beta * scores[i] for i in order]
    return sum(math.log(sum(math.exp(x) for x in z[k:])) - z[k] for k in range(len(z)))


def lambda_loss(scores, labels, beta, gain=lambda y: 2**y - 1, discount=math.log, topn=99, normalize=False):
    def weight(rank):
        return 1 / discount(1 + rank) if rank <= topn else 0.0

    def ranks(values):
        return [1 + sum(other > v for other in values) for v in values]

    n, z = range(len(scores)), [beta * s for s in scores]
    total = sum(
        abs(gain(labels[i]) - gain(labels[j]))
        * abs(weight(ranks(scores)[i]) - weight(ranks(scores)[j]))
        * math.log(1 + math.exp(z[j] - z[i]))
        for i, j in product(n, n)
        if labels[i] > labels[j]
    )
    ideal = sum(gain(y) * weight(r) for y, r in zip(labels, ranks(labels), strict=True))
    return total / ideal if normalize else total


@pytest.mark.parametrize("beta", [0.05, 0.5, 3.0])
def test_list_mle(beta):
    expected = [list_mle(s, y, beta) for s, y in zip(SCORES, LABELS, strict=True)]
    assert run("list_mle", SCORES, LABELS, beta=beta) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("hyper", "terms"),
    [
        ({}, {}),
        ({"gain": "linear"}, {"gain": lambda y: y}),
        ({"discount": "log2"}, {"discount": math.log2}),
        ({"topn": 2}, {"topn": 2}),
        ({"normalize": True}, {"normalize": True}),
        ({"normalize": True, "topn": 1, "gain": "linear"}, {"normalize": True, "topn": 1, "gain": float}),
    ],
)
@pytest.mark.parametrize("beta", [0.05, 1.5])
def test_lipo_lambda(beta, hyper, terms):
    expected = [lambda_loss(s, y, beta, **terms) for s, y in zip(SCORES, LABELS, strict=True)]
    assert run("lipo_lambda", SCORES, LABELS, beta=beta, **hyper) == pytest.approx(expected)


def test_lipo_lambda_pair_mean_divides_by_ordered_pairs():
    labels = [[0.9, 0.9, 0.3, 0.1], [0.2, 0.8, 0.5]]  # a tie leaves 5 of 6 pairs
    expected = [lambda_loss(s, y, 0.5) / pairs for s, y, pairs in zip(SCORES, labels, (5, 3), strict=True)]
    assert run("lipo_lambda", SCORES, labels, beta=0.5, pair_mean=True) == pytest.approx(expected)


def test_list_mle_where_policy_is_reference_counts_orders():
    """ln n!: every order is as likely as any other."""
    zeros = [[0.0] * 4, [0.0] * 3]
    assert run("list_mle", zeros, LABELS) == pytest.approx([math.log(24), math.log(6)])


def test_lipo_lambda_where_policy_is_reference_ranks_by_position():
    expected = math.log(2) * sum(
        abs(2 ** LABELS[0][i] - 2 ** LABELS[0][j]) * abs(1 / math.log(2 + i) - 1 / math.log(2 + j))
        for i, j in product(range(4), range(4))
        if i < j
    )
    assert run("lipo_lambda", [[0.0] * 4], [LABELS[0]]) == pytest.approx([expected])


def test_list_mle_of_some_equal_labels_follows_the_list_and_of_none_but_equal_ones_is_nothing():
    given = [0.4, -1.3, 0.9]
    assert run("list_mle", [given], [[0.5, 0.5, 0.1]]) == run("list_mle", [given], [[0.9, 0.5, 0.1]])
    assert run("list_mle", [given], [[0.5] * 3]) == [0]


def test_no_gradient_through_the_lambda_weights():
    """d/ds of one pair is -beta * D * sigmoid(-s), D held fixed."""
    logps = torch.tensor([[0.3, -0.1]], dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    objective = load_objective("lipo_lambda", beta=2.0)
    (gradient,) = torch.autograd.grad(
        objective(logps=logps, ref_logps=torch.zeros_like(logps), labels=labels).loss, logps
    )
    slope = 2.0 * (1 / math.log(2) - 1 / math.log(3)) / (1 + math.exp(0.8))
    assert gradient.flatten().tolist() == pytest.approx([-slope, slope])
