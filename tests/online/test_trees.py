"""Tree search over steps: the vector, the back-up, what a search finds, and the pairs made of it."""

import numpy as np
import pytest
import torch

from alignlab.judges.judge import Judged
from alignlab.losses.pairs.osp import osp
from alignlab.online.trees.node import (
    Node,
    back_up,
    chosen_child,
    error_rate,
    mean_value,
    prior_of,
    puct,
    shared,
)
from alignlab.online.trees.search import search, step_pairs
from alignlab.online.trees.tree import Tree
from alignlab.online.ways import Drawing, Start
from alignlab.sampling.rollout import Prompt, Rollout
from alignlab.sampling.settings import Sampling
from tests.vectors import more


def family(qs, visits, priors):
    children = [
        Node(str(i), np.array([i]), q=q, visits=n, prior=p)
        for i, (q, n, p) in enumerate(zip(qs, visits, priors, strict=True))
    ]
    return Node(visits=sum(visits), children=children)


def test_the_vector():
    vector = more()["A11_mcts_dpo"]
    given, wanted = vector["inputs"], vector["outputs"]
    parent = family(given["Q"], given["N"], given["prior"])
    scores = [puct(c.q, c.prior, c.visits, given["parent_N"], given["w_exp"]) for c in parent.children]
    assert scores == pytest.approx(wanted["puct"], abs=1e-9)
    assert chosen_child(parent, given["w_exp"]) is parent.children[wanted["select"]]
    prior = prior_of(given["node_logps"], given["length_penalty"])
    assert prior == pytest.approx(wanted["node_prior"], abs=1e-9)
    assert mean_value(given["Q"], given["N"]) == pytest.approx(wanted["V_parent"], abs=1e-9)
    wrong = error_rate(given["visits_better"], given["visits_worse"])
    assert wrong == pytest.approx(wanted["label_smoothing"], abs=1e-9)
    assert 1 - wrong == pytest.approx(wanted["confidence"], abs=1e-9)
    better, worse = np.array(given["better_ids"]), np.array(given["worse_ids"])
    at = shared(better, worse)
    assert at == wanted["diverge_index"]
    for ids, name in (
        (better, "better"),
        (worse, "worse"),
    ):  # of log-probabilities that stand one place earlier
        assert [at - 1, len(ids) - 1] == wanted[f"shifted_logp_slice_{name}"]
    gap = torch.tensor([given["logratio_diff"]], dtype=torch.float64)
    strength = torch.tensor([(1 - wrong) - wrong], dtype=torch.float64)
    loss = osp(gap, 0 * gap, strength, beta=given["beta"])
    assert loss.item() == pytest.approx(wanted["loss"], abs=1e-9)


def test_back_up_takes_convex_means_and_an_unvisited_step_is_worth_its_state():
    leaf, other = Node("0", reward=1.0, ends=True), Node("1", reward=-0.5)
    root = Node(children=[leaf, other])
    back_up([root, leaf], 1.0)
    assert (leaf.q, leaf.visits) == (1.0, 1)
    assert root.value == pytest.approx((1.0 + (0 - 0.5)) / 2)
    assert root.q_of(other) == root.value - 0.5
    back_up([root, leaf], 1.0)
    assert root.value == pytest.approx((2 * 1.0 + (0.25 - 0.5)) / 3)


def test_a_search_visits_what_is_worth_it_and_the_root_twice():
    roots = [Node(), Node()]
    grown = []

    def grow(bare):
        for number, path in bare:
            grown.append((number, path[-1].name))
            depth = len(path)
            path[-1].children = [
                Node(
                    f"{path[-1].name}{i}",
                    np.array([i]),
                    prior=0.5,
                    ends=depth == 2,
                    reward=(depth == 2) * (1.0 if path[-1].name == "1" else -1.0),
                )
                for i in range(2)
            ]

    search(roots, grow, iterations=12, weight=1.0, discount=1.0)
    assert len(grown) == len({*grown})  # no state is grown twice
    for root in roots:
        assert root.visits == 24
        assert root.children[1].visits > root.children[0].visits >= 1
        ((before, better, worse),) = step_pairs(root)
        assert (before, better.name, worse.name) == ([root], "1", "0")
        assert error_rate(better.visits, worse.visits) < 0.5


def test_the_worse_step_is_the_last_or_the_second():
    root = family([0.1, 0.9, 0.5], [1, 5, 2], [0.3] * 3)
    assert [next(step_pairs(root, how))[2].name for how in ("worst", "second")] == ["0", "2"]
    assert not list(step_pairs(family([0.5, 0.5], [1, 1], [0.1, 0.9])))


SEMICOLON, STOP = 9, 2


class Steps:
    """A generator whose steps are a token and the end of a step, and in the end that of the response."""

    version = 5

    def draw(self, prompts, n, how, **_):
        assert how.stop == (STOP, SEMICOLON)
        rollouts = []
        for one in prompts:
            end = STOP if SEMICOLON in one.ids else SEMICOLON
            ids = tuple(np.array([20, 30 + k % 2, end]) for k in range(n))
            logps = tuple(np.full(3, -0.1 * (k + 1), np.float32) for k in range(n))
            rollouts.append(Rollout(one.id, np.array(one.ids), ids, logps, (True,) * n, 5, "t"))
        return rollouts


class Likes:
    """A judge of responses whose second step is 31."""

    identity = "likes 31"

    def __call__(self, asked):
        return [
            Judged(rewards=tuple(1.0 if text.endswith("31 2") else -1.0 for text in one.responses))
            for one in asked
        ]


def test_lists_of_a_tree_begin_where_its_steps_differ():
    by = Drawing(
        Steps(),
        Sampling(max_new_tokens=4),
        3,
        frozenset({STOP}),
        frozenset({SEMICOLON}),
        lambda ids: " ".join(map(str, ids)),
        Likes(),
        0,
    )
    start = Start(Prompt("p", [1, 5]), 7, [{"role": "user", "content": "p"}], (), [], {})
    (lists,) = Tree(iterations=8, depth=2)([start], by)
    assert [one.part for one in lists] == [*range(len(lists))]
    last = lists[-1]
    assert last.rollout.prompt_ids.tolist()[-1] == 20  # what both steps begin with
    assert [ids.tolist() for ids in last.rollout.responses] == [[31, STOP], [30, STOP]]
    assert last.rollout.finished == (True, True)
    assert last.rewards[0] == 1.0 > last.rewards[1]
    better, worse = last.judged.aspects["visits"]
    assert last.labels == (1 - error_rate(better, worse), error_rate(better, worse))
    (certain,) = Tree(iterations=8, depth=2, smoothing=False)([start], by)
    assert certain[-1].labels == (1.0, 0.0)
