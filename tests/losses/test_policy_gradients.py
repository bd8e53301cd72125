"""What policy gradients promise beside their vectors: exact zeros, what is clipped, and what their first loss tells."""

import pytest
import torch
from torch.testing import assert_close

from alignlab import load_objective
from alignlab.losses.policy_gradient.advantages import to_mean, to_others
from alignlab.losses.policy_gradient.dapo import overlong
from alignlab.losses.policy_gradient.gae import gae
from alignlab.losses.policy_gradient.moments import Moments, of_responses
from alignlab.objective.gathered import Gathered
from alignlab.policies.causal_lm.distributions import QUANTITIES, Distribution
from tests.invariants.batches import loss_and_gradients, random_signals
from tests.vectors import newer, tensor

OF_LISTS = ("rloo", "grpo", "dr_grpo", "dapo", "gspo", "cispo", "raft")
NO_KL = {"grpo": {"beta": 0.0}}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("reward", [0.7, 0.1, -1e8, 1e-30])
def test_equal_rewards_are_no_advantage_to_the_bit(reward, dtype):
    for size in (1, 3, 7):
        rewards = torch.full((1, size), reward, dtype=dtype)
        where = torch.ones(1, size, dtype=torch.bool)
        for std in ("sample", "population", "none"):
            assert not to_mean(rewards, where, std=std).any()
        assert not to_others(rewards, where).any()
        rows = torch.stack([torch.ones_like(rewards), rewards, torch.zeros_like(rewards)], dim=2)[0]
        moments = Moments.of(Gathered(rows, torch.ones(size, dtype=dtype)))
        assert not moments.standard(rewards, sample=True, outside=1e-8).any()
        tokens = of_responses(rewards[..., None].expand(1, size, 5), where[..., None].expand(1, size, 5))
        assert (tokens[..., 2] == 0).all()
        assert (tokens[..., 1] == rewards).all()


@pytest.mark.parametrize("name", OF_LISTS)
def test_tied_lists_teach_nothing(name):
    objective = load_objective(name, **NO_KL.get(name, {}))
    signals = random_signals(objective)
    signals["rewards"] = torch.full_like(signals["rewards"], 0.3)
    loss, slopes = loss_and_gradients(objective, signals)
    assert loss == 0
    assert not any(slope.any() for slope in slopes.values())


@pytest.mark.parametrize("name", ["grpo", "gspo", "dr_grpo", "dapo"])
def test_a_loss_that_reads_0_has_a_gradient(name):
    """Where nothing moved since the drawing, and responses are equally long, as the advantages of a list sum to 0."""
    objective = load_objective(name, **NO_KL.get(name, {}))
    signals = random_signals(objective)
    signals["where"], signals["lengths"] = (
        torch.ones_like(signals["where"]),
        torch.full_like(signals["rewards"], 5),
    )
    signals["token_old_logps"] = signals["token_logps"]
    loss, slopes = loss_and_gradients(objective, signals)
    assert abs(loss.item()) < 1e-12
    assert slopes["token_logps"].abs().max() > 0.001


def test_ratios_are_told_by_the_signals_that_are_asked_for():
    """A run asks this where its generator draws from a part of the distribution alone."""
    ratios = {"grpo", "dr_grpo", "dapo", "gspo", "cispo", "reinforce_pp", "ppo"}
    plain = {"rloo", "raft", "dpo", "xpo", "on_policy_distillation"}
    assert {name for name in ratios | plain if load_objective(name).takes_ratios} == ratios
    assert load_objective("rloo", modifiers=["truncated_is"]).takes_ratios


def test_which_losses_have_a_mean_over_tied_lists():
    """A run drops and refills the tied lists of the others."""
    counts = {"rloo", "grpo", "dr_grpo", "gspo", "cispo", "reinforce_pp", "ppo", "regression"}
    others = {"dapo", "raft", "dpo", "gpo", "lipo_lambda", "list_mle", "sparse_po"}
    assert {name for name in counts | others if load_objective(name).counts_ties} == counts
    assert load_objective("dapo", tied="keep").counts_ties


def test_statistics_that_are_data_are_told():
    known = {"rewards", "lengths"}
    assert load_objective("reinforce_pp").gathered_from == known
    assert load_objective("reinforce_pp", beta=0.1).gathered_from > known
    assert load_objective("kto").gathered_from == {"mismatched_logps", "mismatched_ref_logps"}


def test_the_penalty_of_overlong_answers():
    case = newer()["cases"]["dapo_overlong"]
    given = {key: value for key, value in case["inputs"].items() if key != "lengths"}
    found = overlong(tensor(case["inputs"]["lengths"]), **given)
    assert_close(found, tensor(case["outputs"]["penalty"]))


def test_a_cut_response_goes_on_from_its_last_value():
    values, where = tensor([[[0.5, 2.0, 9.0]]]), torch.tensor([[[True, True, False]]])
    for finished, following in ((1.0, 0.0), (0.0, 2.0)):
        found = gae(0 * values, values, tensor([[finished]]), where, gamma=0.9, lam=0.5)
        last = 0.9 * following - 2.0
        assert_close(found, tensor([[[0.9 * 2.0 - 0.5 + 0.45 * last, last, 0.0]]]))


def test_raft_takes_the_best_or_all_above_a_threshold():
    signals = {
        "token_logps": -torch.arange(1.0, 7.0).reshape(2, 3, 1),
        "rewards": torch.tensor([[0.1, 0.9, 0.5], [0.6, 0.6, 0.6]]),
        "lengths": torch.ones(2, 3),
    }
    assert load_objective("raft")(**signals).loss == 2
    assert load_objective("raft", threshold=0.4)(**signals).loss == (2 + 3 + 4 + 5 + 6) / 5


DISTILLED = {
    "on_policy_distillation": ("reverse_kl", "tokens"),
    "on_policy_distillation_responses": ("reverse_kl", "responses"),
    "jsd": ("jsd", "tokens"),
    "jsd_beta_0": ("forward_kl", "tokens"),
    "jsd_beta_1": ("reverse_kl", "tokens"),
}
SIGNALS = {"reverse_kl": "kl_reverse", "forward_kl": "kl_forward", "jsd": "jsd"}


@pytest.mark.parametrize("name", DISTILLED)
def test_distillation_by_its_vectors(name):
    """The gradient is that of the quantity's own slope, which the head's backward takes."""
    fixture, case = newer()["fixtures"]["DISTILL"], newer()["cases"][name]
    divergence, over = DISTILLED[name]
    student, teacher = tensor(fixture["student_logits"]), tensor(fixture["teacher_logits"])
    p, q = (Distribution(logits.flatten(0, 2)) for logits in (student, teacher))
    quantity, none = QUANTITIES[SIGNALS[divergence]], torch.zeros(0)
    flat = quantity.value(p, q, none)
    values = flat.reshape(student.shape[:3]).requires_grad_()
    objective = load_objective("on_policy_distillation", divergence=divergence, over=over)
    (signal,) = objective.signals - {"lengths"}
    facts = {"where": torch.tensor(fixture["where"]).bool(), "lengths": tensor(fixture["lengths"])}
    loss = objective(**{signal: values}, **facts).loss
    assert_close(loss, tensor(case["loss"]), rtol=1e-9, atol=1e-9)
    (by_value,) = torch.autograd.grad(loss, values)
    slopes = quantity.slope(p, q, none, flat[:, None]).reshape(student.shape)
    assert_close(by_value[..., None] * slopes, tensor(case["grad_student_logits"]), rtol=1e-9, atol=1e-9)
