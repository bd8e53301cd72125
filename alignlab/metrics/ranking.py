"""Ranking metrics: whether scores order pairs and whole lists as the labels do.

The metrics of pairs are those of Preference Learning Algorithms Do Not Learn Preference Rankings, arXiv:2405.19534.
"""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

Pairs = Float[Tensor, "P"]
Scores = Float[Tensor, "B K"]
Where = Bool[Tensor, "B K"]
Values = Float[Tensor, "B"]
"""One value for each list; NaN where its labels do not differ, so that there is nothing to rank."""


def wins(better: Float[Tensor, "*P"], worse: Float[Tensor, "*P"]) -> Float[Tensor, "*P"]:
    """For each pair, 1 where the better response scores higher, 0.5 on a tie, else 0."""
    return (better > worse).to(better.dtype) + 0.5 * (better == worse)


def difficulty(chosen_ref_logps: Pairs, rejected_ref_logps: Pairs) -> Pairs:
    """The difficulty c = log ref(rejected) - log ref(chosen) in nats; the reference ranks the pair wrongly above 0.

    The policy ranks it rightly if, and only if, its DPO loss is at most `loss_threshold(c, beta)`.
    """
    return rejected_ref_logps - chosen_ref_logps


def loss_threshold(c: Pairs, *, beta: float) -> Pairs:
    """The DPO loss of a pair of difficulty c (nats) that the policy just ranks rightly: -log sigmoid(beta c)."""
    return -torch.nn.functional.logsigmoid(beta * c)


def idealized_wins(ref_margins: Pairs, agreement: Pairs, *, beta: float, epsilon: float = 1e-3) -> Pairs:
    """For each pair, 1 where the optimum of the RLHF objective ranks it rightly, else 0.

    `ref_margins` are log ref(chosen) - log ref(rejected) in nats; `agreement` is the share of raters that
    preferred chosen, at most 1 - epsilon. Its margin is ref_margin + log(agreement / (1 - agreement)) / beta.

    >>> idealized_wins(torch.tensor([-2.0]), torch.tensor([0.7]), beta=0.1)
    tensor([1.])
    """
    share = agreement.clamp(max=1 - epsilon)
    return (ref_margins + torch.log(share / (1 - share)) / beta > 0).to(ref_margins.dtype)


def flips(before: Pairs, after: Pairs) -> tuple[Bool[Tensor, "P"], Bool[Tensor, "P"]]:
    """Masks of the pairs that training mended (wrong `before`, right `after`), and of those that it broke.

    `before` and `after` are margins of log-probabilities in nats; a margin of 0 is right, as in the paper.
    """
    return (before < 0) & (after >= 0), (before >= 0) & (after < 0)


def ndcg(scores: Scores, labels: Scores, where: Where) -> Values:
    """The normalized discounted cumulative gain of the order by scores; 1 is the order of the labels.

    The gain sum_i (2^label_i - 1) / log2(1 + rank_i) is divided by that of the best order. Equal scores share
    their ranks' mean discount, so the order in which they stand changes nothing. Labels below 0 are
    counted from the lowest of their list.
    """
    low = labels.masked_fill(~where, torch.inf).amin(1, keepdim=True).clamp(max=0)
    high = labels.masked_fill(~where, -torch.inf).amax(1, keepdim=True)
    gains = (torch.exp2(labels - high) - torch.exp2(low - high)).masked_fill(~where, 0)  # a scale cancels
    gained, best = ((gains * _discounts(s, where)).sum(1) for s in (scores, labels))
    return _unless_tied(gained / best, labels, where)


def _discounts(scores: Scores, where: Where) -> Scores:
    """The discount 1 / log2(1 + rank) of every response; equal scores get the mean over the ranks that they share."""
    others = where[:, None, :]
    above = ((scores[:, None, :] > scores[:, :, None]) & others).sum(2)
    level = ((scores[:, None, :] == scores[:, :, None]) & others).sum(2).clamp(min=1)
    ranks = torch.arange(1, scores.shape[1] + 1, device=scores.device, dtype=scores.dtype)
    sums = torch.cat([scores.new_zeros(1), (1 / torch.log2(1 + ranks)).cumsum(0)])
    last = (above + level).clamp(max=scores.shape[1])
    return (sums[last] - sums[above]) / level


def kendall_tau(scores: Scores, labels: Scores, where: Where) -> Values:
    """Kendall's tau-b of each list: concordant minus discordant pairs, corrected for ties; 0 for equal scores."""
    both = where[:, :, None] & where[:, None, :]
    of_scores, of_labels = ((x[:, :, None] - x[:, None, :]).sign() * both for x in (scores, labels))
    agreed = (of_scores * of_labels).sum((1, 2))
    untied = of_scores.square().sum((1, 2)) * of_labels.square().sum((1, 2))
    return _unless_tied(agreed / untied.sqrt().clamp(min=1), labels, where)


def top1(scores: Scores, labels: Scores, where: Where) -> Values:
    """For each list, whether the highest score is that of a best response; for tied scores, the share that is."""
    highest, best = (x.masked_fill(~where, -torch.inf) for x in (scores, labels))
    leads = (highest == highest.amax(1, keepdim=True)) & where
    right = leads & (best == best.amax(1, keepdim=True))
    return _unless_tied(right.sum(1) / leads.sum(1), labels, where).to(scores.dtype)


def _unless_tied(values: Values, labels: Scores, where: Where) -> Values:
    """The values, with NaN for lists in which no label is above another."""
    high = labels.masked_fill(~where, -torch.inf).amax(1)
    low = labels.masked_fill(~where, torch.inf).amin(1)
    return torch.where(high > low, values, math.nan)
