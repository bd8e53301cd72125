"""The nodes of a tree search, and its formulas: MCTS-DPO, arXiv:2405.00451, with the rules of its released code."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from alignlab.online.ways import Ids


@dataclass(eq=False)
class Node:
    """A prompt with the steps of a response so far."""

    name: str = ""
    """The numbers of the steps that lead here, with dots between."""
    step: Ids = field(default_factory=lambda: np.zeros(0, np.int64))
    """The tokens of the step that leads here; the root has none."""
    logps: tuple[float, ...] = ()
    """The log-probability of each of them, as it was drawn."""
    prior: float = 1.0
    reward: float = 0.0
    """How much better this state is by itself than the one before: its verdict, where the response ends here."""
    ends: bool = False
    value: float = 0.0
    q: float = 0.0
    visits: int = 0
    children: list["Node"] = field(default_factory=list)

    def q_of(self, child: "Node") -> float:
        """Return what a step from here is worth; of one that was never taken, this state's value with its reward."""
        return child.q if child.visits else self.value + child.reward


def prior_of(logps: Sequence[float], power: float = 1.25) -> float:
    """Return exp(sum of log-probabilities / n^power) of a step of n tokens.

    >>> round(prior_of([-0.2, -0.4, -0.1]), 4)
    0.8375
    """
    return math.exp(sum(logps) / len(logps) ** power)


def puct(q: float, prior: float, visits: int, of_parent: int, weight: float = 1.0) -> float:
    """Return q + weight * prior * sqrt(visits of the parent) / (1 + visits).

    >>> puct(0.6, 0.3, 3, 4), puct(0.2, 0.5, 1, 4)
    (0.75, 0.7)
    """
    return q + weight * prior * math.sqrt(of_parent) / (1 + visits)


def mean_value(qs: Sequence[float], visits: Sequence[int]) -> float:
    """Return the mean of children's Q by their visits, each of which counts once at least."""
    counts = [max(1, count) for count in visits]
    return sum(count * q for count, q in zip(counts, qs, strict=True)) / sum(counts)


def error_rate(better: int, worse: int) -> float:
    """Return how often the label of a pair is wrong, by the visits of its steps: worse / (better + worse), at most 1/2.

    >>> error_rate(6, 2), error_rate(2, 6), error_rate(0, 0)
    (0.25, 0.5, 0.0)
    """
    return min(1 - 1 / (1 + worse / max(1, better)), 0.5)


def shared(one: Ids, other: Ids) -> int:
    """Return the number of tokens with which both begin.

    >>> shared(np.array([5, 6, 7, 8, 2]), np.array([5, 6, 7, 11]))
    3
    """
    size = min(len(one), len(other))
    differ = np.flatnonzero(one[:size] != other[:size])
    return int(differ[0]) if len(differ) else size


def chosen_child(node: Node, weight: float) -> Node:
    """Return the step with the largest PUCT, the first of equals."""
    scores = [
        puct(node.q_of(child), child.prior, child.visits, node.visits, weight) for child in node.children
    ]
    return node.children[int(np.argmax(scores))]


def back_up(path: Sequence[Node], discount: float) -> None:
    """Take up a visit of a path from the root to where it ends: Q = reward + discount * V, from the end backwards."""
    for node in reversed(path):
        if node.children:
            qs = [node.q_of(child) for child in node.children]
            node.value = mean_value(qs, [child.visits for child in node.children])
        node.q = node.reward + discount * node.value
        node.visits += 1
