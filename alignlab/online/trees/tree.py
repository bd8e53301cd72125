"""Pairs of steps from a tree search with the policy as it is: MCTS-DPO, arXiv:2405.00451."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from alignlab.errors import RunError
from alignlab.judges.judge import Judged
from alignlab.online.listed import Listed
from alignlab.online.trees.node import Node, error_rate, prior_of, shared
from alignlab.online.trees.search import Path, Worse, search, step_pairs
from alignlab.online.verdicts import verdicts
from alignlab.online.ways import Drawing, Ids, Start
from alignlab.sampling.rollout import Prompt, Rollout
from alignlab.settings import NonNegative, Positive, PositiveNumber, PositiveShare


class Tree:
    """Lists of two steps that continue the same text, for each depth of a searched tree where they differ in worth.

    A step ends where `data.step_delimiter` stands, and `online.samples` are drawn from each state. A judge rewards
    whole responses; those that no step ends within `depth` are judged as they are. A list's prompt is all that its
    steps have in common, so that a loss sees them from the first token that differs. Labels are (1 - e, e), e the
    error rate by visits; with `smoothing=False` they are (1, 0).
    """

    judged = True
    rated = True

    def __init__(
        self,
        *,
        iterations: Positive = 64,
        depth: Positive = 3,
        weight: NonNegative = 1.0,
        discount: PositiveShare = 1.0,
        power: PositiveNumber = 1.25,
        worse: Worse = "worst",
        smoothing: bool = True,
    ) -> None:
        self.iterations, self.depth, self.weight, self.discount = iterations, depth, weight, discount
        self.power, self.worse, self.smoothing = power, worse, smoothing

    @property
    def name(self) -> str:
        """The name of the way, with its settings."""
        settings = ", ".join(f"{key} {value}" for key, value in vars(self).items())
        return f"tree, {settings}"

    def longest(self, given: int, most: int) -> int:
        """Return the length of so many whole steps as the tree is deep."""
        return self.depth * most

    def __call__(self, starts: Sequence[Start], by: Drawing) -> list[list[Listed]]:
        """Return the pairs of steps of each start's tree; raises RunError for a judge that gives no rewards."""
        roots = [Node() for _ in starts]

        def grow(bare: Sequence[tuple[int, Path]]) -> None:
            for (_, path), nodes in zip(bare, self._drawn(starts, bare, by), strict=True):
                path[-1].children = nodes
            _judge([(starts[number], path) for number, path in bare], by)

        search(roots, grow, iterations=self.iterations, weight=self.weight, discount=self.discount)
        return [self._lists(start, root, by) for start, root in zip(starts, roots, strict=True)]

    def _drawn(
        self, starts: Sequence[Start], bare: Sequence[tuple[int, Path]], by: Drawing
    ) -> list[list[Node]]:
        """The distinct steps that are drawn from each state."""
        how = replace(by.how, stop=tuple(sorted(by.stops | by.step_ends)))
        asked = [
            Prompt(
                f"{starts[number].prompt.id}/{path[-1].name}",
                [*starts[number].prompt.ids, *_ids(path).tolist()],
            )
            for number, path in bare
        ]
        return [
            self._children(path, drawn, by)
            for (_, path), drawn in zip(bare, by.generator.draw(asked, by.samples, how), strict=True)
        ]

    def _children(self, path: Path, drawn: Rollout, by: Drawing) -> list[Node]:
        steps = {
            tuple(ids.tolist()): tuple(logps.tolist())
            for ids, logps in zip(drawn.responses, drawn.token_logps, strict=True)
        }
        return [
            Node(
                f"{path[-1].name}.{number}".lstrip("."),
                np.array(ids, dtype=np.int64),
                logps,
                prior_of(logps, self.power),
                ends=ids[-1] not in by.step_ends - by.stops or len(path) == self.depth,
            )
            for number, (ids, logps) in enumerate(steps.items())
        ]

    def _lists(self, start: Start, root: Node, by: Drawing) -> list[Listed]:
        lists: list[Listed] = []
        for before, better, worse in step_pairs(root, self.worse):
            wrong = error_rate(better.visits, worse.visits) if self.smoothing else 0.0
            if wrong < 0.5:
                one = _listed(start, before, (better, worse), by)
                labels, rewards = (1 - wrong, wrong), (before[-1].q_of(better), before[-1].q_of(worse))
                lists.append(replace(one, kept=(0, 1), labels=labels, rewards=rewards, part=len(lists)))
        nothing = _listed(start, [root], tuple(root.children), by)
        return lists or [nothing.without("no two steps differ in worth")]


def _judge(grown: Sequence[tuple[Start, Path]], by: Drawing) -> None:
    """Have the responses that end behind these paths judged; one without a verdict is worth 0."""
    ending = [(start, path, [one for one in path[-1].children if one.ends]) for start, path in grown]
    ending = [(start, path, nodes) for start, path, nodes in ending if nodes]
    asked = [
        start.asked(
            [by.decode([*_ids(path), *node.step]) for node in nodes],
            [bool(node.step[-1] in by.stops) for node in nodes],
        )
        for start, path, nodes in ending
    ]
    assert by.judge is not None
    for (_, _, nodes), judged in zip(ending, verdicts(by.judge, asked) if asked else [], strict=True):
        if judged.rewards is None and judged.unsaid is None:
            raise RunError(f"draw=tree needs rewards, and {by.judge.identity} gives preferences alone")
        for node, reward in zip(nodes, judged.rewards or [None] * len(nodes), strict=True):
            node.reward = reward or 0.0


def _listed(start: Start, before: Path, nodes: tuple[Node, ...], by: Drawing) -> Listed:
    """The steps from a state as responses to all that they have in common."""
    common = shared(nodes[0].step, nodes[1].step) if len(nodes) == 2 else 0
    prefix = np.array([*start.prompt.ids, *_ids(before), *nodes[0].step[:common]], dtype=np.int64)
    responses = tuple(node.step[common:] for node in nodes)
    rollout = Rollout(
        f"{start.prompt.id}/{before[-1].name}".rstrip("/"),
        prefix,
        responses,
        tuple(np.array(node.logps[common:], dtype=np.float32) for node in nodes),
        tuple(bool(node.step[-1] in by.stops) for node in nodes),
        by.generator.version,
        f"tree: {by.how.name}",
    )
    judged = Judged(
        rewards=tuple(before[-1].q_of(node) for node in nodes),
        aspects={"visits": tuple(float(node.visits) for node in nodes)},
    )
    text = "\n".join(filter(None, [start.text, by.decode(prefix[len(start.prompt.ids) :])]))
    return Listed(rollout, start.row, tuple(map(by.decode, responses)), judged, text)


def _ids(path: Path) -> Ids:
    return np.concatenate([node.step for node in path])
