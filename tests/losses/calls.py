"""Pairwise losses called as functions, on signals of pairs."""

import inspect
from functools import partial

import torch
from torch import Tensor

from alignlab.objective.load import read_choice
from alignlab.signals import contract
from alignlab.targets import locate

NAMES = [
    "apo_down",
    "apo_zero",
    "cal_dpo",
    "cdpo",
    "chi_po",
    "cpo",
    "discopop",
    "dove",
    "dpo",
    "dpop",
    "exo",
    "f_dpo",
    "flex_dpo",
    "gpo",
    "ipo",
    "ld_dpo",
    "ln_dpo",
    "minor_dpo",
    "mm_dpo",
    "mrpo",
    "nca",
    "orpo",
    "osp",
    "r_dpo",
    "rainbow_po",
    "rationale_dpo",
    "rdpo",
    "rpo",
    "rso_hinge",
    "simpo",
    "slic",
    "sppo",
    "tdpo1",
    "tdpo2",
    "wpo",
]
P, L = 5, 6


def target(name: str):
    """The function (or maker) of an objective."""
    return locate(read_choice("objective", name)["loss"]["_target_"], name)


def hyper_of(name: str) -> dict:
    return {
        k: v.default
        for k, v in inspect.signature(target(name)).parameters.items()
        if v.kind is v.KEYWORD_ONLY
    }


def bound(name: str, **hyper):
    """The loss with these hyper-parameters, as a function of signals alone."""
    loss = target(name)
    return partial(loss, **hyper) if contract(loss, name).signals else loss(**hyper)


def call(name: str, signals: dict[str, Tensor], **hyper) -> Tensor:
    """One value a pair."""
    loss = bound(name, **hyper)
    return loss(*(signals[wanted] for wanted in contract(loss, name).signals))


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
            "token_logps": token_logps,
            "token_ref_logps": token_logps + token_gaps,
            "logps": token_logps.sum(1),
            "ref_logps": (token_logps + token_gaps).sum(1),
            "ref2_logps": (token_logps + token_gaps).sum(1) + uniform(-1, 1),
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
    signals = {name: value.to(dtype) for name, value in signals.items()}
    for side in ("chosen", "rejected"):
        for name in ("logps", "token_logps", "kl_forward", "prompt_logps"):
            signals[f"{side}_{name}"].requires_grad_()
    signals["rationale_logps"].requires_grad_()
    return with_logratios(signals)


def gradients(loss: Tensor, signals: dict[str, Tensor]) -> dict[str, Tensor]:
    """The gradient by every leaf that the loss reaches."""
    leaves = {name: value for name, value in signals.items() if value.is_leaf and value.requires_grad}
    found = torch.autograd.grad(loss.sum(), list(leaves.values()), allow_unused=True)
    return {name: gradient for name, gradient in zip(leaves, found, strict=True) if gradient is not None}
