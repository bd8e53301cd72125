"""Random signals of a batch, and what may be done to them: cut, shuffle, pad, fill, take far or to the start.

Every function follows the shapes of `alignlab.signals`, so that a new signal needs a line in `pool` alone.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from alignlab.objective.gathered import Gathered, join
from alignlab.objective.objective import Objective
from alignlab.signals import BASE, POLICY, is_known_before, trailing_sizes

Batch = dict[str, Tensor]
BOUND = {**trailing_sizes({"D": 2, "N": 2}), "tasks": (2,)}
"""Trailing dimensions of features, of a model that would have them."""
PADDED = {"K": (1, 2), "L": (0, 1), "S": (0, 1)}
"""Slots, tokens and steps that `padded` adds: before, after."""


def letters(name: str) -> list[str]:
    """The shape of a signal, of `where`, or of `weights`."""
    return {"where": "B K", "weights": "B"}.get(name, BASE[name].shape if name in BASE else "").split()


def is_score(name: str) -> bool:
    """Whether the policy's gradient flows through it."""
    return (name in BASE and POLICY in BASE[name].providers) or name == "parameter_distance"


def twin(name: str) -> str:
    """The same log-probabilities under the reference; empty where there are none."""
    if "ref" in name or not name.endswith("logps"):
        return ""
    return next((t for t in (f"ref_{name}", name.replace("logps", "ref_logps")) if t in BASE), "")


# --- making ---


def pool(lists: int = 4, width: int = 3, seed: int = 0) -> Batch:
    """Every signal there is, on ragged lists without ties, `where` included; sums fit their tokens."""
    return dict(_pool(lists, width, seed))


@cache
def _pool(lists: int, width: int, seed: int) -> Batch:
    rng = torch.Generator().manual_seed(seed)
    sizes = {"B": lists, "K": width, "L": 5, "S": 2, "M": 2, "D": 2, "N": 2, "A": 2, "C": 4, "H": 3}

    def uniform(low: float, high: float, shape: str = "B K") -> Tensor:
        dims = [sizes.get(letter) or int(letter) for letter in shape.split()]
        return low + (high - low) * torch.rand(dims, generator=rng, dtype=torch.float64)

    lengths = uniform(1, sizes["L"] + 1).floor()
    tokens = torch.arange(sizes["L"]) < lengths[..., None]
    token_logps, token_gaps = -uniform(0.5, 2.5, "B K L") * tokens, uniform(-0.5, 0.5, "B K L") * tokens
    logps, gaps, token_kl = token_logps.sum(2), token_gaps.sum(2), uniform(0, 1, "B K L") * tokens
    prompt_logps, samples, others = uniform(-20, -5), uniform(-20, -5, "B M"), uniform(-20, -5, "B")
    steps = uniform(0, 4, "B K S").floor()
    steps[..., 0] += 1  # every response has a first step
    labels = uniform(0, 1).argsort(dim=1) / max(width - 1, 1)
    responses = torch.tensor([width, width - 1, 1, width, 2, width])[torch.arange(lists) % 6].clamp(1, width)
    return {
        "lengths": lengths,
        "logps": logps,
        "ref_logps": logps + gaps,
        "other_ref_logps": (logps + uniform(-4, 4))[..., None],
        "decoupled_logps": logps - gaps,
        "labels": labels,
        "wins": (1 + (labels[:, :, None] - labels[:, None]).sign()) / 2,
        "rewards": uniform(-3, 3),
        "values": uniform(-3, 3),
        "embeddings": uniform(-1, 1, "B K D"),
        "attribute_values": uniform(-3, 3, "B K A"),
        "value_slopes": uniform(-1, 1, "B K D"),
        "class_logits": uniform(-2, 2, "B K C"),
        "preference_values": uniform(-1, 1, "B K H"),
        "ratings": uniform(0, 4, "B K A").floor(),
        "tasks": (torch.arange(lists) % 2).double(),
        "preferences": (scores := uniform(-1, 1, "B K K")) - scores.transpose(1, 2),
        "desirable_probs": uniform(0.1, 0.9),
        "kl_reverse": lengths * uniform(0, 1),
        "kl_forward": token_kl.sum(2),
        "entropy": lengths * uniform(0.5, 3),
        "log_collisions": -lengths * uniform(0.5, 2),
        "uniform_logps": -lengths * uniform(3, 5),
        "ref_entropy": uniform(0.1, 0.9),
        "prompt_logps": prompt_logps,
        "ref_prompt_logps": prompt_logps + uniform(-2, 2),
        "token_logps": token_logps,
        "token_ref_logps": token_logps + token_gaps,
        "token_kl_forward": token_kl,
        "token_kl_reverse": uniform(0, 1, "B K L") * tokens,
        "token_jsd": uniform(0, 1, "B K L") * tokens,
        "token_values": uniform(-1, 1, "B K L") * tokens,
        "token_old_logps": (old := token_logps + uniform(-0.1, 0.1, "B K L") * tokens),
        "token_behavior_logps": (behavior := old + uniform(-0.1, 0.1, "B K L") * tokens),
        "behavior_logps": behavior.sum(2),
        "token_behavior_values": uniform(-1, 1, "B K L") * tokens,
        "finished": uniform(0, 1).round(),
        "from_reference": uniform(0, 1).round(),
        "hidden": uniform(-1, 1, "B K L D"),
        "ref_layers": uniform(-1, 1, "B K L N D"),
        "ref_activations": uniform(-1, 1, "B K L 3 N"),
        "ref_points": uniform(-1, 1, "B K L 14 N"),
        "ref_ends": uniform(-1, 1, "B K L 2"),
        "token_ref_mean_logits": uniform(-1, 1, "B K L"),
        "step_logratios": uniform(-1, 1, "B K S") * (steps > 0),
        "step_lengths": steps,
        "step_cosines": uniform(-1, 1, "B K K S"),
        "sample_logps": samples,
        "sample_ref_logps": samples + uniform(-2, 2, "B M"),
        "rationale_logps": uniform(-30, -10, "B"),
        "mismatched_logps": others,
        "mismatched_ref_logps": others + uniform(-2, 2, "B"),
        "parameter_distance": uniform(0, 1, "")[()],
        "where": torch.arange(width).expand(lists, width) < responses[:, None],
    }


def random_signals(
    objective: Objective, lists: int = 4, width: int = 3, seed: int = 0, dtype: torch.dtype = torch.float64
) -> Batch:
    """What the objective asks for, and `where`."""
    signals = wanted_by(objective, pool(lists, width, seed))
    return {name: value if name == "where" else value.to(dtype) for name, value in signals.items()}


def data_only(signals: Mapping[str, Tensor]) -> Batch:
    """What is known before any forward."""
    return {k: v for k, v in signals.items() if k not in BASE or is_known_before(k)}


def wanted_by(objective: Objective, signals: Mapping[str, Tensor]) -> Batch:
    """Those that the objective asks for, and `where`."""
    wanted = objective.signals | {"where"}
    return {name: value for name, value in signals.items() if name in wanted}


# --- evaluating ---


def policy_leaves(signals: Mapping[str, Tensor]) -> Batch:
    """The same signals; those of the policy as leaves that require a gradient."""
    return {name: value.detach().clone().requires_grad_(is_score(name)) for name, value in signals.items()}


def loss_and_gradients(
    objective: Objective, signals: Mapping[str, Tensor], **settings
) -> tuple[Tensor, Batch]:
    """The loss, and its gradient by every signal of the policy."""
    leaves = policy_leaves(signals)
    loss = objective(**leaves, **settings).loss
    return loss.detach(), gradients(loss, leaves)


def gradients(loss: Tensor, leaves: Mapping[str, Tensor]) -> Batch:
    wanted = {name: leaf for name, leaf in leaves.items() if leaf.requires_grad}
    slopes = torch.autograd.grad(loss, list(wanted.values()), materialize_grads=True)
    return dict(zip(wanted, slopes, strict=True))


def step(
    objective: Objective,
    micro: Sequence[Batch],
    gather: Callable[[Sequence[Gathered]], list[Gathered]] = join,
) -> list[dict[str, Gathered]]:
    """What each micro-batch knows of the whole optimizer step, which the terms take in once."""
    brought = [objective.contribute(**batch) for batch in micro]
    views = {name: gather([part[name] for part in brought]) for name in brought[0]}
    known = [{name: views[name][i] for name in views} for i in range(len(micro))]
    objective.absorb(known[0])
    return known


# --- changing ---


def take(signals: Mapping[str, Tensor], lists) -> Batch:
    """Some of the lists, by index, mask or slice."""
    return {name: value[lists] if "B" in letters(name) else value for name, value in signals.items()}


def cut(signals: Mapping[str, Tensor], sizes: Sequence[int]) -> list[Batch]:
    """Micro-batches of so many lists."""
    ends = torch.tensor(sizes).cumsum(0).tolist()
    return [take(signals, slice(end - size, end)) for end, size in zip(ends, sizes, strict=True)]


def permuted(name: str, value: Tensor, orders: Tensor) -> Tensor:
    """A signal with the responses of each list in another order, `[B, K]`, in every dimension K."""
    for axis in (i for i, letter in enumerate(letters(name)) if letter == "K"):
        index = orders.reshape([*orders.shape[:1], *[1] * (axis - 1), -1, *[1] * (value.dim() - axis - 1)])
        value = value.gather(axis, index.expand_as(value))
    return value


def padded(signals: Mapping[str, Tensor], fill: float) -> Batch:
    """More slots, tokens and steps; what is absent, then as before, holds `fill`."""
    grown = {}
    for name, value in signals.items():
        amounts = [PADDED.get(letter, (0, 0)) for letter in reversed(letters(name))]
        grown[name] = F.pad(value, [n for amount in amounts for n in amount])
    return {
        name: value if name == "where" else value.masked_fill(absent(name, grown), fill)
        for name, value in grown.items()
    }


def unpadded(name: str, value: Tensor) -> Tensor:
    """The part of a padded signal that was there before."""
    for axis, letter in enumerate(letters(name)):
        before, after = PADDED.get(letter, (0, 0))
        value = value.narrow(axis, before, value.shape[axis] - before - after)
    return value


def absent(name: str, signals: Mapping[str, Tensor]) -> Tensor:
    """True on what nobody may read: no response, beyond its tokens, beyond its steps; or an empty list."""
    shape, where, value = letters(name), signals["where"], signals[name]
    if "L" in shape:
        lengths = signals["lengths"].masked_fill(~where, 0)
        where = torch.arange(value.shape[2]) < lengths[..., None]
    elif "S" in shape and name != "step_lengths":
        where = where[..., None] & (signals["step_lengths"] > 0)
    elif "K" not in shape:
        where = where.any(dim=1)
    if shape.count("K") == 2:
        where = where[:, :, None] & where[:, None, :]
    return ~where.reshape(*where.shape, *[1] * (value.dim() - where.dim())).expand_as(value)


def at_start(signals: Mapping[str, Tensor]) -> Batch:
    """A policy that is its references: all log-ratios and divergences are 0."""
    moved = dict(signals)
    for name, value in signals.items():
        if name.startswith(("kl_", "token_kl_")) or name == "step_logratios":
            moved[name] = torch.zeros_like(value)
        elif twin(name) in signals:
            moved[name] = signals[twin(name)].clone()
        elif name == "other_ref_logps":
            moved[name] = signals["ref_logps"][..., None].clone()
    return moved


def far(signals: Mapping[str, Tensor], scale: float, first: int = 0) -> Batch:
    """Log-ratios of +-scale in turn, from log-probabilities of -scale; divergences and features to match."""
    moved = dict(signals)
    for name, value in signals.items():
        is_even = (torch.arange(value.numel()).reshape(value.shape) + first) % 2 == 0
        if name.startswith(("kl_", "token_kl_")) or name in ("hidden", "preferences"):
            moved[name] = value * scale
        elif name == "step_logratios" or name == "values":
            moved[name] = torch.where(is_even, scale, -scale).to(value.dtype)
        elif name == "uniform_logps":
            moved[name] = torch.full_like(value, -scale)
        elif name.endswith("logps"):
            moved[name] = value.masked_fill(is_even != ("ref" in name), -scale)
    return moved
