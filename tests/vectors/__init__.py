"""Numeric vectors computed apart from alignlab (numpy and torch autograd agree to 1e-10)."""

import json
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

FOLDER = Path(__file__).parent


@cache
def load(file: str = "vectors_a.json") -> dict:
    return json.loads((FOLDER / file).read_text(encoding="utf-8"))


def more() -> dict:
    """Vectors of what is no loss of pairs or lists, by card."""
    return load("vectors_b.json")


def newer() -> dict:
    """Vectors of losses on whole steps of lists, with gradients: pairwise, policy-gradient and of values."""
    return load("vectors_c.json")


def case(name: str) -> dict:
    """Hyper-parameters, `per_example`, `loss` and gradients of one case."""
    return load()["cases"][name]


def tensor(values: list, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.tensor(values, dtype=dtype)


def pair_signals(dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
    """The PAIR fixture as lists of two, the chosen response first."""
    pair = load()["fixtures"]["PAIR"]
    names = {"logps": "logp", "ref_logps": "ref_logp", "lengths": "len"}
    signals = {ours: tensor([pair[f"{n}_w"], pair[f"{n}_l"]], dtype).T for ours, n in names.items()}
    signals["logps"] = signals["logps"].clone().requires_grad_()
    return signals | {"labels": tensor([[1.0, 0.0]] * 4, dtype)}


def list_signals(dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
    """The LIST fixture, ragged: its `where` included."""
    lists = load()["fixtures"]["LIST"]
    signals = {name: tensor(lists[name], dtype) for name in ("logps", "ref_logps", "labels")}
    signals["logps"].requires_grad_()
    return signals | {"where": torch.tensor(lists["mask"], dtype=torch.bool)}


def token_fixture() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The TOKEN fixture, chosen side: policy logits, reference logits, token ids, mask."""
    token = load()["fixtures"]["TOKEN"]
    logits = tensor(token["logits_w"]).requires_grad_()
    ids, mask = torch.tensor(token["labels_w"]), torch.tensor(token["mask_w"], dtype=torch.bool)
    return logits, tensor(token["ref_logits_w"]), ids, mask


def given(objective, signals: dict[str, Tensor]) -> dict[str, Tensor]:
    """Those of the signals that the objective asks for."""
    return {k: v for k, v in signals.items() if k in objective.signals | {"where"}}
