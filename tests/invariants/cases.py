"""Every objective and regularizer, and random signals for it.

Both are discovered from conf: a new yaml file is under every invariant from its first day.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from alignlab import load_objective
from alignlab.objectives.load import build_term, choices, read_choice
from alignlab.objectives.objective import Objective
from alignlab.objectives.pairs import CHOICES
from alignlab.signals import POLICY_SIGNALS, REFERENCE_SIGNALS, list_name

OBJECTIVES = choices("objective")
REGULARIZERS = choices("regularizers")
OFFSETS = [r for r in REGULARIZERS if read_choice("regularizers", r)[r].get("kind") == "offset"]
ADDITIVE = [r for r in REGULARIZERS if r not in OFFSETS]
PAIRWISE = [name for name in OBJECTIVES if load_objective(name).is_pairwise]
LISTWISE = [name for name in OBJECTIVES if name not in PAIRWISE]

# Everything the invariants run on, as "<objective>", "<objective>-<pairs>" or "<regularizer> alone".
CASES = [
    *LISTWISE,
    *(f"{name}-{pairs}" for name in PAIRWISE for pairs in CHOICES),
    *(f"{name} alone" for name in ADDITIVE),
]


def build(case: str, **settings) -> Objective:
    if case.endswith(" alone"):
        name = case.removesuffix(" alone")
        node = read_choice("regularizers", name)[name]
        return Objective(name, build_term(name, node, f"regularizers.{name}"), **settings)
    name, _, pairs = case.partition("-")
    return load_objective(name, pairs=pairs or None, **settings)


def random_signals(
    objective: Objective, lists: int = 6, width: int = 4, seed: int = 0, dtype: torch.dtype = torch.float64
) -> dict[str, Tensor]:
    """What the objective asks for, on ragged lists without ties, `where` included."""
    rng = torch.Generator().manual_seed(seed)
    shape = (lists, width)

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(shape, generator=rng, dtype=torch.float64)

    lengths = torch.randint(3, 13, shape, generator=rng).double()
    logps = -lengths * uniform(0.5, 2.5)
    pool = {
        "lengths": lengths,
        "logps": logps,
        "ref_logps": logps + uniform(-4, 4),
        "labels": uniform(0, 1).argsort(dim=1) / max(width - 1, 1),
        "rewards": uniform(-3, 3),
        "kl_reverse": lengths * uniform(0, 1),
        "kl_forward": lengths * uniform(0, 1),
    }
    sizes = torch.tensor([width, width - 1, width, 1, 2, width])[torch.arange(lists) % 6].clamp(min=1)
    where = torch.arange(width).expand(shape) < sizes[:, None]
    return {name: pool[name].to(dtype) for name in objective.signals} | {"where": where}


# Losses that see the policy through log-ratios only.
def _sees(case: str) -> set[str]:
    return {list_name(signal) for signal in build(case).loss.contract.signals}


ANCHORED = [c for c in CASES if "logratios" in _sees(c) and "logps" not in _sees(c)]


def base_only(signals: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value for name, value in signals.items() if name != "where"}


def data_only(signals: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What is known before any forward."""
    return {k: v for k, v in signals.items() if k not in POLICY_SIGNALS | REFERENCE_SIGNALS}


def policy_leaves(signals: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same signals; those of the policy as leaves that require a gradient."""
    return {k: v.detach().clone().requires_grad_(k in POLICY_SIGNALS) for k, v in signals.items()}


def loss_and_gradients(objective: Objective, signals: Mapping[str, Tensor], **settings):
    """The loss, and its gradient by every signal of the policy, `{name: [B, K]}`."""
    leaves = policy_leaves(signals)
    loss = objective(**leaves, **settings).loss
    wanted = {name: leaf for name, leaf in leaves.items() if leaf.requires_grad}
    gradients = torch.autograd.grad(loss, list(wanted.values()))
    return loss.detach(), dict(zip(wanted, gradients, strict=True))
