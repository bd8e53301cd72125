"""Policy gradients against their vectors: whole steps of lists, values and gradients in float64, cut as one likes."""

import pytest
import torch
from torch.testing import assert_close

from alignlab import load_objective
from alignlab.objective.gathered import join
from tests.vectors import newer, tensor

NONE = {"beta": 0.0}
SETTINGS = {
    "reinforce_pp_tokens": {"over": "tokens"},
    "reinforce_pp_kl": {"over": "tokens"},
    "grpo_mean_of_lists": {"over": "lists"},
    "bnpo": {"over": "tokens"},
    "dapo_keep_tied": {"tied": "keep"},
    "ppo_population": {"whiten": "population"},
    "ppo_no_whitening": {"whiten": "none"},
    "truncated_is_token_rloo": {"scores": "policy"},
    "truncated_is_sequence_rloo": {"scores": "policy"},
    "truncated_is_token_grpo": NONE,
    "truncated_is_sequence_grpo": NONE,
    "truncated_is_token_mask_grpo": NONE,
    "truncated_is_sequence_mask_dapo": {"tied": "keep"},
    "cispo_cap5": {"epsilon_high": 4.0, "cap": None},
}
"""Settings beside the hyper-parameters of a vector: what its note says in words, and other names."""
OF_MODIFIER = ("level", "cap", "low", "high", "scores")
FAMILIES = (
    "rloo",
    "reinforce_pp",
    "grpo",
    "bnpo",
    "dr_grpo",
    "dapo",
    "gspo",
    "cispo",
    "ppo",
    "truncated_is",
    "xpo",
)
NAMES = [name for name in newer()["cases"] if name.startswith(FAMILIES) and name != "dapo_overlong"]


def objective_of(name):
    case = newer()["cases"][name]
    hyper = {**case["hparams"], **SETTINGS.get(name, {})}
    base, _, modifier = case["objective"].partition(" + ")
    base = base.removesuffix(" without dropping")
    settings = {key: hyper.pop(key) for key in OF_MODIFIER if key in hyper}
    return load_objective(base, modifiers={modifier: settings} if modifier else {}, **hyper)


def signals_of(name, objective, dtype=torch.float64):
    """The fixture's signals that an objective takes. Where one policy drew, its scores then are the sampler's."""
    case = newer()["cases"][name]
    given = {key: tensor(value, dtype) for key, value in newer()["fixtures"][case["fixture"]].items()}
    given["where"] = given["where"].bool()
    given.setdefault("token_old_logps", given.get("token_behavior_logps"))
    given["finished"] = torch.ones_like(given["lengths"])
    for key in ("logps", "token_logps", "token_values"):
        if key in given:
            given[key].requires_grad_()
    return {key: value for key, value in given.items() if key in objective.signals | {"where"}}


def gradients(loss, signals):
    leaves = {name: value for name, value in signals.items() if value.requires_grad}
    return dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_values_and_gradients(name):
    objective, expected = objective_of(name), newer()["cases"][name]
    signals = signals_of(name, objective)
    outcome = objective(**signals)
    assert_close(outcome.loss, tensor(expected["loss"]), rtol=1e-9, atol=1e-9)
    for leaf, gradient in gradients(outcome.loss, signals).items():
        assert_close(gradient, tensor(expected[f"grad_{leaf}"]), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_micro_batches_change_nothing(name):
    """Three lists in three micro-batches of their own widths; counts are known of the data alone."""
    objective = objective_of(name)
    whole = signals_of(name, objective)
    parts = []
    for b in range(3):
        part = {key: value[b : b + 1] for key, value in whole.items()}
        longest = int(whole["lengths"][b].max()) if "lengths" in whole else None
        parts.append(
            {key: value[:, :, :longest] if value.dim() == 3 else value for key, value in part.items()}
        )
    data = [{key: value for key, value in part.items() if not value.requires_grad} for part in parts]
    counts = [objective.counts(**part)[objective.name] for part in data]
    brought = [objective.contribute(**part) for part in parts]
    joint = {term: join([one[term] for one in brought]) for term in brought[0]}
    total = {objective.name: torch.stack(counts).sum()}
    loss = sum(
        objective(**part, gathered={term: views[b] for term, views in joint.items()}).loss_over(total)
        for b, part in enumerate(parts)
    )
    expected = newer()["cases"][name]
    assert_close(loss, tensor(expected["loss"]), rtol=1e-9, atol=1e-9)
    for leaf, gradient in gradients(loss, whole).items():
        assert_close(gradient, tensor(expected[f"grad_{leaf}"]), rtol=1e-9, atol=1e-9)
