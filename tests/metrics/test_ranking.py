"""Ranking metrics: the vectors, against scipy-free definitions, and what must not change them."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from alignlab.metrics import ranking
from tests.metrics.lists import ragged
from tests.vectors import more, tensor

METRICS = [ranking.ndcg, ranking.kendall_tau, ranking.top1]


def test_vectors():
    case = more()["D1_ranking"]
    told, expected = case["inputs"], case["outputs"]
    chosen, rejected = tensor(told["ref_logp_w"]), tensor(told["ref_logp_l"])
    assert (ranking.wins(chosen, rejected) > 0).tolist() == expected["R_ref"]
    per_token = chosen / tensor(told["lengths_w"]), rejected / tensor(told["lengths_l"])
    assert (ranking.wins(*per_token) > 0).tolist() == expected["R_ref_len_norm"]
    c = ranking.difficulty(chosen, rejected)
    torch.testing.assert_close(c, tensor(expected["c"]), atol=1e-9, rtol=0)
    for beta, rights in expected["idealized"].items():
        agreement = tensor(told["rater_alpha"])
        found = ranking.idealized_wins(chosen - rejected, agreement, beta=float(beta), epsilon=told["eps"])
        assert (found == 1).tolist() == rights
        assert found.mean().item() == pytest.approx(expected["idealized_acc"][beta], abs=1e-9)
    for beta, losses in expected["loss_threshold"].items():
        found = ranking.loss_threshold(c, beta=float(beta))
        torch.testing.assert_close(found, tensor(losses), atol=1e-9, rtol=0)


@settings(max_examples=50, deadline=None)
@given(c=st.floats(-9, 9), margin=st.floats(-9, 9), beta=st.sampled_from([0.01, 0.1, 1.0]))
def test_a_pair_is_ranked_rightly_exactly_where_its_loss_is_below_the_threshold(c, margin, beta):
    loss = math.log1p(math.exp(-beta * (margin + c)))  # margin of the policy less that of the reference, -c
    threshold = ranking.loss_threshold(tensor([c]), beta=beta).item()
    assert (loss <= threshold + 1e-12) == (margin >= 0) or abs(margin) * beta < 1e-9


def test_the_optimum_follows_the_reference_for_large_beta_and_the_raters_for_small():
    margins, agreement = tensor([-1.0, 2.0, -0.1]), tensor([0.9, 0.6, 1.0])
    assert ranking.idealized_wins(margins, agreement, beta=1e6).tolist() == [0, 1, 0]
    assert ranking.idealized_wins(margins, agreement, beta=1e-6).tolist() == [1, 1, 1]


def test_flips():
    before, after = tensor([-1.0, 1.0, 1.0, 0.0, -2.0]), tensor([1.0, -1.0, 2.0, 1.0, -1.0])
    mended, broken = ranking.flips(before, after)
    assert mended.tolist() == [True, False, False, False, False]
    assert broken.tolist() == [False, True, False, False, False]


def over_orders(scores, labels):
    """NDCG as the mean over every way to break ties."""
    gains, best = [2**label - 1 for label in labels], []
    for order in itertools.permutations(range(len(scores))):
        if all(scores[a] >= scores[b] for a, b in itertools.pairwise(order)):
            best.append(sum(gains[i] / math.log2(2 + place) for place, i in enumerate(order)))
    return sum(best) / len(best)


@settings(max_examples=40, deadline=None)
@given(lists=ragged(size=4))
def test_ndcg_is_the_mean_over_all_ways_to_break_ties(lists):
    scores, labels, where = lists
    labels = labels - labels.min()
    for score, label, real, found in zip(
        scores, labels, where, ranking.ndcg(scores, labels, where), strict=True
    ):
        s, y = score[real].tolist(), label[real].tolist()
        if len(set(y)) > 1:
            assert found.item() == pytest.approx(over_orders(s, y) / over_orders(y, y), abs=1e-9)
        else:
            assert math.isnan(found)


def test_labels_below_0_are_counted_from_the_lowest_and_large_ones_stay_finite():
    where = torch.ones(1, 3, dtype=torch.bool)
    scores, labels = tensor([[3.0, 1.0, 2.0]]), tensor([[0.0, -1.0, -2.0]])
    expected = ranking.ndcg(scores, labels + 2, where)
    torch.testing.assert_close(ranking.ndcg(scores, labels, where), expected)
    assert ranking.ndcg(scores, tensor([[5000.0, 0.0, 4000.0]]), where).item() == pytest.approx(1.0)


@settings(max_examples=40, deadline=None)
@given(lists=ragged(), data=st.data())
@pytest.mark.parametrize("metric", METRICS)
def test_order_in_the_list_and_padding_change_nothing(metric, lists, data):
    order = torch.tensor(data.draw(st.permutations(range(5))))
    expected = metric(*lists)
    found = metric(*(x[:, order] for x in lists))
    torch.testing.assert_close(found, expected, equal_nan=True)
    padded = [torch.nn.functional.pad(x, (0, 3)) for x in lists]
    torch.testing.assert_close(metric(*padded), expected, equal_nan=True)


@settings(max_examples=40, deadline=None)
@given(lists=ragged())
def test_the_order_of_the_labels_is_best(lists):
    _, labels, where = lists
    ranked = ranking.kendall_tau(labels, labels, where)
    untied = ~ranked.isnan()
    for metric in METRICS:
        right, wrong = metric(labels, labels, where)[untied], metric(-labels, labels, where)[untied]
        torch.testing.assert_close(right, torch.ones_like(right))
        assert (wrong < 1).all()
    level = ranking.kendall_tau(torch.zeros_like(labels), labels, where)[untied]
    assert (level == 0).all()


def test_of_equal_scores_top1_is_a_share():
    where = torch.ones(1, 3, dtype=torch.bool)
    scores, labels = tensor([[1.0, 1.0, 0.0]]), tensor([[0.0, 1.0, 0.5]])
    assert ranking.top1(scores, labels, where).tolist() == [0.5]
