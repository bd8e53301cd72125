"""The search of several trees at once, so that a model draws the next steps of all of them together."""

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from alignlab.online.trees.node import Node, back_up, chosen_child

Path = list[Node]
Grow = Callable[[Sequence[tuple[int, Path]]], None]
"""Gives children to the last node of each path; before it stands the number of its tree."""
Worse = Literal["worst", "second"]


def search(roots: Sequence[Node], grow: Grow, *, iterations: int, weight: float, discount: float) -> None:
    """Search all trees: each iteration goes down from the root by PUCT to a state that ends, and is backed up.

    As in the released code, an iteration counts twice among the visits of the root.
    """
    for _ in range(iterations):
        paths: list[Path] = [[root] for root in roots]
        for root in roots:
            root.visits += 1
        while going := [(number, path) for number, path in enumerate(paths) if not path[-1].ends]:
            if bare := [(number, path) for number, path in going if not path[-1].children]:
                grow(bare)
            for _, path in going:
                path.append(chosen_child(path[-1], weight))
        for path in paths:
            back_up(path, discount)


def step_pairs(root: Node, worse: Worse = "worst") -> Iterator[tuple[Path, Node, Node]]:
    """Yield (states before, better step, worse step) at each depth of the most visited path, from the root on.

    Steps are sorted by Q, then prior, reward, value and visits. `worse` is the last of them, or the second. Steps of
    equal Q make no pair.
    """
    path = [root]
    while children := path[-1].children:
        node = path[-1]
        order = sorted(
            children, key=lambda one: (node.q_of(one), one.prior, one.reward, one.value, one.visits)
        )
        better, other = order[-1], order[0 if worse == "worst" else max(0, len(order) - 2)]
        if node.q_of(better) > node.q_of(other):
            yield [*path], better, other
        path.append(max(children, key=lambda one: (one.visits, node.q_of(one), one.value)))
