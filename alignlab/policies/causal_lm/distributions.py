"""Quantities of token distributions, each with its slope over the logits, computed a block of tokens at a time."""

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

BLOCK_ELEMENTS = {"cpu": 2**18, "cuda": 2**24}
"""The number of logits of a block: 1 MB of float32, which a CPU's cache holds, or enough to keep a GPU busy."""


class Distribution:
    """The distributions of a few tokens, from their logits in float32 or better."""

    def __init__(self, logits: Float[Tensor, "C V"], norm: Float[Tensor, "C"] | None = None) -> None:
        self.logits = logits if logits.dtype == torch.float64 else logits.float()
        if norm is not None:
            self.norm = norm

    @cached_property
    def norm(self) -> Float[Tensor, "C"]:
        """The logarithm of the sum of the exponentials of a token's logits."""
        return self.logits.logsumexp(-1)

    @cached_property
    def logps(self) -> Float[Tensor, "C V"]:
        """The log-probabilities of the whole vocabulary, in nats."""
        return self.logits - self.norm[:, None]

    @cached_property
    def probs(self) -> Float[Tensor, "C V"]:
        """The probabilities of the whole vocabulary."""
        return self.logps.exp()

    def at(self, targets: Int[Tensor, "C"]) -> Float[Tensor, "C"]:
        """Return the log-probability of each target, in nats."""
        return self.logits.gather(-1, targets[:, None]).squeeze(-1) - self.norm

    def slope_at(self, targets: Int[Tensor, "C"]) -> Float[Tensor, "C V"]:
        """Return the derivative of each target's log-probability over the logits."""
        ones = torch.ones_like(self.norm)[:, None]
        return self.probs.neg().scatter_add_(1, targets[:, None], ones)


class Kept(Distribution):
    """The distributions of so few tokens that all is kept, for a backward by autograd."""

    @cached_property
    def logps(self) -> Float[Tensor, "C V"]:
        """The log-probabilities of the whole vocabulary, in nats."""
        return self.logits.log_softmax(-1)

    def at(self, targets: Int[Tensor, "C"]) -> Float[Tensor, "C"]:
        """Return the log-probability of each target, in nats."""
        return -F.cross_entropy(self.logits, targets, reduction="none")


def _middle(p: Distribution, q: Distribution) -> Float[Tensor, "C V"]:
    """The log-probabilities of the mean of two distributions."""
    return torch.logaddexp(p.logps, q.logps) - math.log(2)


def _jsd(p: Distribution, q: Distribution) -> Float[Tensor, "C"]:
    middle = _middle(p, q)
    return (p.probs * (p.logps - middle) + q.probs * (q.logps - middle)).sum(-1) / 2


def _jsd_slope(p: Distribution, q: Distribution) -> Float[Tensor, "C V"]:
    gaps = p.logps - _middle(p, q)
    return p.probs * (gaps - (p.probs * gaps).sum(-1, keepdim=True)) / 2


class Quantity(NamedTuple):
    """A number for each token that is a function of whole distributions."""

    value: Callable[[Distribution, Distribution, Tensor], Float[Tensor, "C"]]
    """The function of the model's own distribution, the reference's, and the targets."""
    slope: Callable[[Distribution, Distribution, Tensor, Tensor], Float[Tensor, "C V"]]
    """The derivative of the value over the model's own logits, from the same and the value itself, as `[C, 1]`."""
    compares: bool = False
    """Whether it takes the reference's distribution."""


QUANTITIES = {
    "logps": Quantity(
        lambda p, q, targets: p.at(targets),
        lambda p, q, targets, value: p.slope_at(targets),
    ),
    "entropy": Quantity(
        lambda p, q, targets: -(p.probs * p.logps).sum(-1),
        lambda p, q, targets, value: -p.probs * (p.logps + value),
    ),
    "log_collisions": Quantity(
        lambda p, q, targets: p.probs.square().sum(-1).log(),
        lambda p, q, targets, value: 2 * p.probs * (p.probs / value.exp() - 1),
    ),
    "uniform_logps": Quantity(
        lambda p, q, targets: p.logps.mean(-1),
        lambda p, q, targets, value: 1 / p.probs.shape[-1] - p.probs,
    ),
    "mean_logits": Quantity(
        lambda p, q, targets: p.logits.mean(-1),
        lambda p, q, targets, value: torch.full_like(p.logits, 1 / p.logits.shape[-1]),
    ),
    "kl_reverse": Quantity(
        lambda p, q, targets: (p.probs * (p.logps - q.logps)).sum(-1),
        lambda p, q, targets, value: p.probs * (p.logps - q.logps - value),
        compares=True,
    ),
    "kl_forward": Quantity(
        lambda p, q, targets: (q.probs * (q.logps - p.logps)).sum(-1),
        lambda p, q, targets, value: p.probs - q.probs,
        compares=True,
    ),
    "jsd": Quantity(
        lambda p, q, targets: _jsd(p, q),
        lambda p, q, targets, value: _jsd_slope(p, q),
        compares=True,
    ),
}
"""The quantities that a head can compute, by the name of the signal that is their sum over a response."""


class Asked(NamedTuple):
    """The quantities that are asked for of a model, and of the reference that it is compared with."""

    own: Sequence[str]
    ref: Sequence[str] = ()

    @property
    def names(self) -> list[str]:
        """The names of the results, those of the reference with `ref_` before them."""
        return [*self.own, *(f"ref_{name}" for name in self.ref)]

    @property
    def compares(self) -> bool:
        """Whether any of them takes the reference's distribution."""
        return any(QUANTITIES[name].compares for name in self.own)

    def values(self, p: Distribution, q: Distribution | None, targets: Int[Tensor, "C"]) -> list[Tensor]:
        """Return the quantities of a block in the order of `names`."""
        return [QUANTITIES[name].value(p, q or p, targets) for name in self.own] + [
            QUANTITIES[name].value(q, q, targets) for name in self.ref if q is not None
        ]

    def slope(
        self,
        p: Distribution,
        q: Distribution | None,
        targets: Int[Tensor, "C"],
        values: Sequence[Float[Tensor, "C"]],
        grads: Sequence[Float[Tensor, "C"] | None],
    ) -> Float[Tensor, "C V"]:
        """Return the gradient over a block's own logits, from the values and the gradients over them, if any."""
        total: Tensor | None = None
        for name, value, grad in zip(self.own, values, grads, strict=False):
            if grad is not None:
                slope = QUANTITIES[name].slope(p, q or p, targets, value[:, None])
                slope_by = grad[:, None].to(slope.dtype)
                total = slope.mul_(slope_by) if total is None else total.addcmul_(slope, slope_by)
        return torch.zeros_like(p.logits) if total is None else total

    def compared(self, grads: Sequence[Tensor | None]) -> bool:
        """Whether a gradient goes back through a quantity that takes the reference's distribution."""
        pairs = zip(self.own, grads, strict=False)
        return any(grad is not None and QUANTITIES[name].compares for name, grad in pairs)


def quantities(wanted: Collection[str], *, compares: bool) -> list[str]:
    """Return the quantities behind the wanted signals and `logps`; comparisons only where there is a reference."""
    return [
        name
        for name, quantity in QUANTITIES.items()
        if name == "logps"
        or ((name in wanted or f"token_{name}" in wanted) and quantity.compares <= compares)
    ]


def over_vocabulary(wanted: Collection[str]) -> bool:
    """Return whether one of the wanted signals compares the policy's distribution of a token with the reference's."""
    return any(QUANTITIES[name].compares for name in quantities(wanted, compares=True))


def blocks(logits: Float[Tensor, "C V"], device: str) -> Iterator[slice]:
    """Yield the tokens of each block in turn, for a type of device."""
    tokens, vocabulary = logits.shape
    size = max(1, BLOCK_ELEMENTS.get(device, BLOCK_ELEMENTS["cuda"]) // vocabulary)
    for start in range(0, max(1, tokens), size):
        yield slice(start, min(start + size, tokens))
