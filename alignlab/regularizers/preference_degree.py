"""How far a response is from the best of its list, read off the policy's hidden states."""

from collections.abc import Mapping
from typing import Annotated

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from alignlab.errors import ConfigError, one_of
from alignlab.settings import whole
from alignlab.types import Reports


class PreferenceDegree(nn.Module):
    """Self-supervised preference degree, SPO, arXiv:2409.17791: a classifier beside any loss.

    Cross-entropy of a response's degree under a linear head on the hidden states, where the degree is how
    many distinct labels of the list are better, `levels - 1` at most.

    The cross-entropy, one value a response, teaches the policy's states what a response lost; the head
    itself is left behind after training. It is meant for lists of degraded copies (`pipeline=[degrade]`).
    `pool` takes the state at the last token, or the mean over tokens. The head starts at 0, where all
    degrees are equally likely and the loss is ln(levels).

    Reports `accuracy`, the share of responses whose degree is the likeliest to the head.

    Raises ConfigError when called before `bind`.
    """

    def __init__(self, *, levels: Annotated[int, whole(2, 100)] = 4, pool: str = "last") -> None:
        super().__init__()
        self.levels, self.pool = levels, one_of("pool", pool, ("last", "mean"))
        self.head: nn.Linear | None = None

    def bind(self, sizes: Mapping[str, tuple[int, ...]]) -> None:
        """Make the head for hidden states of this size, unless a head of that size exists."""
        (width,) = sizes["hidden"]
        if self.head is None or self.head.in_features != width:
            with torch.random.fork_rng(devices=[]):
                self.head = nn.Linear(width, self.levels)
            nn.init.zeros_(self.head.weight)
            nn.init.zeros_(self.head.bias)

    def forward(
        self,
        hidden: Float[Tensor, "B K L D"],
        lengths: Float[Tensor, "B K"],
        degrees: Int[Tensor, "B K"],
        where: Bool[Tensor, "B K"],
    ) -> tuple[Float[Tensor, "B K"], Reports]:
        """Return the cross-entropy of each response's degree, in nats; 0 in absent slots."""
        if self.head is None:
            raise ConfigError(
                "preference_degree has no head yet: call objective.bind({'hidden': (width,)}) first"
            )
        dtype = torch.promote_types(hidden.dtype, self.head.weight.dtype)
        pooled_BKD = _pooled(hidden.to(dtype), lengths, self.pool)
        logits_BKC = F.linear(pooled_BKD, self.head.weight.to(dtype), self.head.bias.to(dtype))
        right_BK = logits_BKC.argmax(dim=2) == _levels(degrees, self.levels)
        return degree_losses(logits_BKC, degrees).masked_fill(~where, 0), {"accuracy": right_BK}


def degree_losses(logits: Float[Tensor, "*rows C"], degrees: Int[Tensor, "*rows"]) -> Float[Tensor, "*rows"]:
    """Cross-entropy of degrees under logits of C levels; higher degrees count as the last level.

    >>> degree_losses(torch.zeros(1, 4), torch.tensor([7]))
    tensor([1.3863])
    """
    levels = _levels(degrees, logits.shape[-1])
    return -logits.log_softmax(dim=-1).gather(-1, levels[..., None]).squeeze(-1)


def _levels(degrees: Tensor, count: int) -> Int[Tensor, "*rows"]:
    """The level of each degree, of `count`; higher degrees are of the last."""
    return degrees.clamp(max=count - 1)


def _pooled(hidden: Tensor, lengths: Tensor, pool: str) -> Float[Tensor, "B K D"]:
    """Pool hidden states to one vector a response; states beyond its length are 0."""
    if pool == "mean":
        return hidden.sum(dim=2) / lengths.clamp(min=1)[..., None]
    last_BK = (lengths.long() - 1).clamp(min=0, max=hidden.shape[2] - 1)
    return hidden.gather(2, last_BK[..., None, None].expand(-1, -1, 1, hidden.shape[3])).squeeze(2)
