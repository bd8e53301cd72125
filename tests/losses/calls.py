"""Pairwise losses, with the modifiers of their objectives, called on signals of pairs."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from alignlab.derived import Pairs, Signals
from alignlab.objective.load import load_objective
from alignlab.objective.modified import modified
from alignlab.objective.objective import Objective
from alignlab.objective.returned import take_apart
from alignlab.places import choices

P, L = 5, 6


def is_function_of_pairs(objective: Objective) -> bool:
    """Whether the loss sees pairs one by one, and learns nothing of its own."""
    return objective.is_pairwise and not objective.gathers and not objective.modules


NAMES = [name for name in choices("objective") if is_function_of_pairs(load_objective(name))]


def call(name: str, signals: dict[str, Tensor], *, betas: Tensor | None = None, **hyper) -> Tensor:
    """The loss of each pair; `betas` has one number a pair in place of beta."""
    objective = load_objective(name, **hyper)
    count = len(next(value for key, value in signals.items() if key.startswith("chosen_")))
    rows = torch.arange(count)
    pairs = Pairs(rows, torch.zeros_like(rows), torch.ones_like(rows))
    if objective.modifiers:  # log-ratios follow from log-probabilities, which a modifier may replace
        derived = {
            name for name in signals if "logratios" in name and name.replace("ratios", "ps") in signals
        }
        signals = {name: value for name, value in signals.items() if name not in derived}
    seen = Signals({}, torch.ones(count, 2, dtype=torch.bool), lambda: pairs).replaced(**signals)
    changed = {} if betas is None else {"beta": betas}
    return modified(objective.loss, seen, objective.modifiers, **changed).values


def values_of(returned: object) -> Tensor:
    """What a loss function returned, without its counts and reports."""
    return take_apart(returned, "loss", "loss").values


def without_reports(loss: Callable[..., Any]) -> Callable[..., Tensor]:
    """A loss function that returns its values alone."""
    return lambda *signals, **hyper: values_of(loss(*signals, **hyper))


def with_logratios(signals: dict[str, Tensor]) -> dict[str, Tensor]:
    """Log-ratios of both sides, of the log-probabilities given."""
    return signals | {
        f"{side}_logratios": signals[f"{side}_logps"] - signals[f"{side}_ref_logps"]
        for side in ("chosen", "rejected")
    }


def random_pairs(seed: int = 0, dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
    """Everything a pairwise loss may ask for; log-probabilities are leaves that want a gradient."""
    rng = torch.Generator().manual_seed(seed)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(shape or (P,), generator=rng, dtype=torch.float64)

    signals: dict[str, Tensor] = {}
    for side in ("chosen", "rejected"):
        lengths = uniform(1, L + 1).floor()
        tokens = torch.arange(L) < lengths[:, None]
        token_logps, token_gaps = -uniform(0.5, 2, P, L) * tokens, uniform(-1, 1, P, L) * tokens
        of_side = {
            "lengths": lengths,
            "token_where": tokens,
            "token_logps": token_logps,
            "token_ref_logps": token_logps + token_gaps,
            "logps": token_logps.sum(1),
            "ref_logps": (token_logps + token_gaps).sum(1),
            "other_ref_logps": (token_logps + token_gaps).sum(1)[:, None] + uniform(-1, 1, P, 2),
            "kl_forward": uniform(0, 2),
            "log_collisions": -lengths * uniform(0.2, 1),
            "ref_entropy": uniform(0.1, 0.9),
            "labels": uniform(0, 1),
            "rewards": uniform(-2, 2),
            "prompt_logps": uniform(-20, -10),
            "ref_prompt_logps": uniform(-20, -10),
        }
        signals |= {f"{side}_{name}": value for name, value in of_side.items()}
    signals["rationale_logps"] = uniform(-40, -20)
    signals["strength"] = uniform(-1, 1)
    signals["pair_wins"] = uniform(0, 1)
    signals["chosen_from_reference"] = torch.arange(P, dtype=torch.float64) % 2
    signals["rejected_from_reference"] = 1 - signals["chosen_from_reference"]
    signals = {
        name: value if value.dtype == torch.bool else value.to(dtype) for name, value in signals.items()
    }
    for side in ("chosen", "rejected"):
        for name in ("logps", "token_logps", "kl_forward", "prompt_logps"):
            signals[f"{side}_{name}"].requires_grad_()
    signals["rationale_logps"].requires_grad_()
    return with_logratios(signals)


def gradients(loss: Tensor, signals: dict[str, Tensor]) -> dict[str, Tensor]:
    """The gradient by every leaf that the loss reaches."""
    leaves = {name: value for name, value in signals.items() if value.is_leaf and value.requires_grad}
    slopes = torch.autograd.grad(loss.sum(), list(leaves.values()), allow_unused=True)
    return {name: slope for name, slope in zip(leaves, slopes, strict=True) if slope is not None}
