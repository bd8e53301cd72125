"""SPA's self-refinement: labels in doubt, the threshold by which they are, and decoupled margins."""

from collections import deque

import pytest
import torch
from torch.nn.functional import logsigmoid
from torch.testing import assert_close

from alignlab import load_objective
from alignlab.data.batching.batches import StepLoader
from alignlab.losses.pairs.spa import percentile_of
from alignlab.objective.gathered import Gathered
from alignlab.policies.causal_lm.decoupled import decoupled_logps
from alignlab.policies.causal_lm.head import Head
from alignlab.policies.causal_lm.model import CausalLM
from tests.data.ragged import token_rows
from tests.training.small import load_small, small_policy
from tests.vectors import more, tensor

GIVEN, EXPECTED = more()["A7_spa"]["inputs"], more()["A7_spa"]["outputs"]
PAIR = torch.tensor([[1.0, 0.0]] * 3)


def scored(**more_signals):
    """The log-probabilities of the vector as lists of two."""
    sides = {"logps": ("pi_c", "pi_r"), "ref_logps": ("ref_c", "ref_r")}
    lists = {name: torch.stack([tensor(GIVEN[key]) for key in keys], dim=1) for name, keys in sides.items()}
    return {**lists, "labels": PAIR.double(), **more_signals}


def values(objective, progress=1.0, **more_signals):
    with torch.no_grad():
        return objective(**scored(**more_signals), progress=progress).values["spa"]


def at(threshold, **hyper):
    objective = load_objective("spa", **hyper)
    objective.loss.function.threshold.fill_(threshold)
    return objective


def test_vector_and_dpo_without_doubts():
    assert_close(values(at(GIVEN["tau"])), tensor(EXPECTED["loss"]), rtol=1e-9, atol=1e-9)
    dpo = load_objective("dpo")(**scored()).values["dpo"]
    assert_close(values(at(GIVEN["tau"], alpha=0.0)), dpo)
    assert_close(values(at(GIVEN["tau"]), progress=0.19), dpo)  # none at the beginning of a run
    assert not torch.equal(values(at(GIVEN["tau"]), progress=0.2), dpo)


def test_no_gradient_flows_through_the_doubt():
    logps = scored()["logps"].requires_grad_()
    loss = at(GIVEN["tau"])(**scored(logps=logps), progress=1.0).loss
    (slope,) = torch.autograd.grad(loss, logps)
    margin, smoothing = tensor(EXPECTED["margin"]), tensor(EXPECTED["smoothing"])
    by_margin = torch.sigmoid(margin) - (1 - smoothing)
    assert_close(slope[:, 0], GIVEN["beta"] * by_margin / 3)


def test_the_threshold_is_a_percentile_of_the_pairs_before():
    margins = tensor(GIVEN["window_margins"])
    shuffled = margins[torch.randperm(50, generator=torch.Generator().manual_seed(0))]
    assert percentile_of(shuffled, 0.1).item() == pytest.approx(EXPECTED["repo_threshold_K10"], abs=1e-9)
    loss = load_objective("spa").loss.function
    thresholds = []
    for mean in [*shuffled, 100.0, -100.0]:
        loss.absorb(Gathered(torch.tensor([mean]), torch.ones(1)))
        thresholds.append(loss.threshold.item())
    assert thresholds[:50] == [0.0] * 50
    assert thresholds[50] == pytest.approx(EXPECTED["repo_threshold_K10"], abs=1e-9)
    window = torch.cat([shuffled[1:], tensor([100.0])])  # the oldest has left
    assert thresholds[51] == pytest.approx(percentile_of(window, 0.1).item())


def test_pairs_one_by_one_are_smoothed_where_the_released_code_smooths():
    """The trainer of the released code, said again: a queue of 50 means of micro-batches, here of one pair each."""
    margins = torch.randn(200, generator=torch.Generator().manual_seed(0))
    loss, queue, threshold = load_objective("spa", beta=1.0).loss.function, deque(maxlen=50), 0.0
    for step, margin in enumerate(margins):
        rejected = torch.zeros(1)
        gathered = Gathered(loss.contribute(margin[None], rejected), torch.ones(1))
        loss.absorb(gathered)
        progress = step / len(margins)
        value, reports = loss(margin[None], rejected, gathered, progress)
        smoothed = 0.1 * float(progress >= 0.2 and not margin > threshold)
        assert (reports["smoothed"] > 0).item() == (smoothed > 0)
        expected = -(1 - smoothed) * logsigmoid(margin) - smoothed * logsigmoid(-margin)
        assert value.item() == pytest.approx(expected.item(), rel=1e-6)
        queue.append(margin.item())
        if len(queue) == 50:
            threshold = sum(sorted(queue)[5:7]) / 2


def test_how_a_step_is_cut_does_not_matter_and_absent_pairs_do_not_count():
    steps = torch.randn(30, 8, generator=torch.Generator().manual_seed(0))
    cut, other = (load_objective("spa", window=20).loss.function for _ in range(2))
    for margins in steps:
        cut.absorb(Gathered(margins, torch.ones(8)))
        absent = torch.cat([margins.flip(0), torch.tensor([1e6])])
        other.absorb(Gathered(absent, torch.tensor([1.0] * 8 + [0.0])))
        assert torch.equal(cut.margins, other.margins)
    latest = steps[-3:].flatten().double()  # the last 20 pairs are of the last three steps
    assert torch.isin(cut.margins, latest).all()
    cut.absorb(Gathered(torch.arange(50.0), torch.ones(50)))
    assert len({*cut.margins.tolist()}) == 20
    assert torch.isin(cut.margins, torch.arange(50.0).double()).all()


class Fixed(Head):
    """A head whose logits are what it is given."""

    def __init__(self):
        self.vocabulary = 3

    def __call__(self, hidden):
        return hidden


def test_decoupled_logits_and_the_margins_they_make():
    policy, before = (tensor(GIVEN[f"logits_{name}"]).expand(3, 3) for name in ("policy", "prev"))
    for away, expected in ((GIVEN["lam"], "decoupled_logp"), (0.0, "policy_logp")):
        logps = decoupled_logps((policy, Fixed()), (before, Fixed()), torch.arange(3), away=away)
        assert_close(logps, tensor(EXPECTED[expected]), rtol=1e-9, atol=1e-9)
    own = scored()["logps"]
    moved = own + torch.tensor(
        [[0.0, 5.0], [5.0, 0.0], [0.0, 0.0]]
    )  # doubts the first pair, and trusts the second
    loss = values(at(GIVEN["tau"], decoupling=0.5), decoupled_logps=moved)
    smoothed = at(GIVEN["tau"], decoupling=0.5)(**scored(decoupled_logps=moved), progress=1.0).reports[
        "spa/smoothed"
    ]
    assert smoothed.sum.item() / smoothed.count.item() == pytest.approx(1 / 3)
    plain = values(at(GIVEN["tau"], decoupling=0.5), decoupled_logps=own)
    assert_close(plain, tensor(EXPECTED["loss"]), rtol=1e-9, atol=1e-9)
    assert (loss[0] != plain[0], loss[1] != plain[1], loss[2] == plain[2]) == (True, True, True)


def test_a_policy_decoupled_from_itself_or_not_at_all_is_itself():
    rows = token_rows([([1, 2], [[3, 4, 5], [6, 7]]), ([8], [[9], [10, 11]])])
    (batch,) = next(iter(StepLoader(rows, lists_per_step=2, microbatch_tokens=4096)))
    policy, other = small_policy(), CausalLM(load_small(seed=1)[0])
    for away, reference, same in ((0.5, policy, True), (0.0, other, True), (0.5, other, False)):
        policy.decoupling = away
        scores = policy(batch, reference=reference, wanted={"decoupled_logps"})
        decoupled = scores.more["decoupled_logps"]
        assert not decoupled.requires_grad
        assert torch.allclose(decoupled, scores.logps, atol=1e-5) == same
