"""The selection of the pairs of a list that a pairwise loss sees. Equal labels never make a pair."""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from alignlab.derived import Pairs
from alignlab.errors import ConfigError, nearest

Labels = Float[Tensor, "B K"]
Where = Bool[Tensor, "B K"]


def _better(labels: Labels, where: Where) -> Bool[Tensor, "B K K"]:
    """Return [b, i, j]: whether response i of list b is strictly better than response j."""
    both = where[:, :, None] & where[:, None, :]
    return both & (labels[:, :, None] > labels[:, None, :])


def all_pairs(labels: Labels, where: Where) -> Pairs:
    """Select every pair of responses of which one is strictly better."""
    index_P, chosen_P, rejected_P = _better(labels, where).nonzero(as_tuple=True)
    return Pairs(index_P, chosen_P, rejected_P)


def best_rest(labels: Labels, where: Where) -> Pairs:
    """Select the best response (the first of equals) against each strictly worse one."""
    best_B = labels.masked_fill(~where, -torch.inf).argmax(dim=1)
    better_BKK = _better(labels, where)
    lists = torch.arange(len(labels), device=labels.device)
    index_P, rejected_P = better_BKK[lists, best_B].nonzero(as_tuple=True)
    return Pairs(index_P, best_B[index_P], rejected_P)


def best_worst(labels: Labels, where: Where) -> Pairs:
    """Select one pair a list: the best response against the worst (the first of equals)."""
    best_B = labels.masked_fill(~where, -torch.inf).argmax(dim=1)
    worst_B = labels.masked_fill(~where, torch.inf).argmin(dim=1)
    lists = torch.arange(len(labels), device=labels.device)
    keep_P = lists[where.any(dim=1) & (labels[lists, best_B] > labels[lists, worst_B])]
    return Pairs(keep_P, best_B[keep_P], worst_B[keep_P])


def adjacent(labels: Labels, where: Where) -> Pairs:
    """Select each response against those of the next lower label: pairs with no third label in between."""
    better_BKK = _better(labels, where)
    between_BKK = (better_BKK[:, :, :, None] & better_BKK[:, None, :, :]).any(dim=2)
    index_P, chosen_P, rejected_P = (better_BKK & ~between_BKK).nonzero(as_tuple=True)
    return Pairs(index_P, chosen_P, rejected_P)


def first_round(labels: Labels, where: Where) -> Pairs:
    """Select the better of each two neighbours of a list against the other: responses 0 and 1, 2 and 3, and so on."""
    return _round(_there_first(where), labels, where)[0]


def tournament(labels: Labels, where: Where) -> Pairs:
    """Select the pairs of a knock-out: neighbours meet, then the better ones of these meet, until one is left.

    The first of equals goes on. A list of n responses without ties gives n - 1 pairs.
    """
    pairs_P, left_BM = _round(_there_first(where), labels, where)
    rounds = [(pairs_P.list, pairs_P.chosen, pairs_P.rejected)]
    while left_BM.shape[1] > 1:
        pairs_P, left_BM = _round(left_BM, labels, where)
        rounds.append((pairs_P.list, pairs_P.chosen, pairs_P.rejected))
    return Pairs(*map(torch.cat, zip(*rounds, strict=True)))


def _there_first(where: Where) -> Int[Tensor, "B K"]:
    """The responses of each list in their order, behind them the slots without one."""
    return (~where).int().argsort(dim=1, stable=True)


def _round(left_BM: Int[Tensor, "B M"], labels: Labels, where: Where) -> tuple[Pairs, Int[Tensor, "B half"]]:
    """Let neighbours of those that are left meet; gives the pairs, and who goes on: the one without a neighbour too."""
    if left_BM.shape[1] % 2:
        left_BM = torch.cat([left_BM, left_BM[:, -1:]], dim=1)  # meets itself, which makes no pair
    scores_BK = labels.masked_fill(~where, -torch.inf).gather(1, left_BM)
    first_BH, second_BH = left_BM[:, 0::2], left_BM[:, 1::2]
    wins_BH = scores_BK[:, 0::2] >= scores_BK[:, 1::2]
    chosen_BH = torch.where(wins_BH, first_BH, second_BH)
    rejected_BH = torch.where(wins_BH, second_BH, first_BH)
    meet_BH = (scores_BK[:, 0::2] != scores_BK[:, 1::2]) & where.gather(1, rejected_BH)
    index_P, place_P = meet_BH.nonzero(as_tuple=True)
    return Pairs(index_P, chosen_BH[index_P, place_P], rejected_BH[index_P, place_P]), chosen_BH


def decided(wins: Float[Tensor, "B K K"], where: Where) -> Pairs:
    """Select every pair of responses of which one was preferred to the other."""
    both_BKK = where[:, :, None] & where[:, None, :]
    return Pairs(*(both_BKK & (wins > 0.5)).nonzero(as_tuple=True))


CHOICES: dict[str, Callable[[Labels, Where], Pairs]] = {
    "best_worst": best_worst,
    "best_rest": best_rest,
    "adjacent": adjacent,
    "first_round": first_round,
    "tournament": tournament,
    "all": all_pairs,
}


def select(choice: str) -> Callable[[Labels, Where], Pairs]:
    """Return the pair selection of that name; raises ConfigError with the nearest name where there is none."""
    if choice not in CHOICES:
        raise ConfigError(f"objective.pairs={choice}: {nearest(choice, CHOICES)}")
    return CHOICES[choice]
