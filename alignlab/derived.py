"""The signals of a micro-batch: those that are given, and those that follow from them, made when first asked for."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from alignlab.errors import ConfigError
from alignlab.labels import degrees, desirable
from alignlab.signals import SIDES, VOCABULARY


@dataclass(frozen=True)
class Pairs:
    """Which better/worse pairs of which lists a pairwise loss sees."""

    list: Int[Tensor, "P"]
    chosen: Int[Tensor, "P"]
    rejected: Int[Tensor, "P"]

    def take(self, values_BK: Tensor, side: str) -> Tensor:
        """Values of one side: `[B, K, ...] -> [P, ...]`."""
        return values_BK[self.list, self.chosen if side == "chosen" else self.rejected]


class Signals:
    """Base signals of a batch, and whatever can be derived from them on demand.

    Slots outside `where`, and tokens beyond a response, are set to 0 before anything reads them, so
    that what they hold (NaN included) reaches neither a value nor a gradient.
    """

    def __init__(
        self, base: Mapping[str, Tensor], where: Bool[Tensor, "B K"], select: Callable[[], Pairs]
    ) -> None:
        self._known: dict[str, Tensor] = {"where": where}
        self._select = select
        self._pairs: Pairs | None = None
        for name in sorted(base, key=lambda name: "L" in VOCABULARY[name].shape):  # lengths before tokens
            self._known[name] = self._clean(name, base[name])
        self._base = dict(self._known)
        self._replaced: dict[str, Tensor] = {}

    @property
    def pairs(self) -> Pairs:
        """The selected pairs, chosen when first asked for."""
        if self._pairs is None:
            self._pairs = self._select()
        return self._pairs

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._known:
            self._known[name] = self._derive(name)
        return self._known[name]

    def _clean(self, name: str, value: Tensor) -> Tensor:
        shape, where = VOCABULARY[name].shape, self._known["where"]
        if shape.startswith("B K L") and "lengths" in self._known:
            where = _tokens(self._known["lengths"], value.shape[2])
        elif shape in ("B", "B M"):
            where = where.any(dim=1)
        elif shape.startswith("B K K"):
            where = where[:, :, None] & where[:, None, :]
        elif not shape.startswith("B K"):
            return value
        return value.masked_fill(~where.reshape(*where.shape, *[1] * (value.dim() - where.dim())), 0)

    def _derive(self, name: str) -> Tensor:
        if name == "logratios":
            return self["logps"] - self["ref_logps"]
        if name == "token_logratios":
            return self["token_logps"] - self["token_ref_logps"]
        if name == "token_where":
            return _tokens(self["lengths"], self._longest())
        if name == "token_weights":
            return _tokens(self["lengths"], self._longest()).to(self["lengths"].dtype)
        if name == "desirable":
            return desirable(self["labels"], self["where"])
        if name == "degrees":
            return degrees(self["labels"], self["where"])
        if name == "strength":
            return self["chosen_labels"] - self["rejected_labels"]
        if name == "pair_wins":
            return self["wins"][self.pairs.list, self.pairs.chosen, self.pairs.rejected]
        side, _, rest = name.partition("_")
        if side in SIDES:
            if rest == "logratios":  # of the sides, which a modifier may have replaced
                return self[f"{side}_logps"] - self[f"{side}_ref_logps"]
            return self.pairs.take(self[rest], side)
        text, shape = VOCABULARY[name].text, ", ".join(VOCABULARY[name].shape.split())
        raise ConfigError(f"signal '{name}' ({text}) is needed and was not given; pass {name}=[{shape}]")

    def _longest(self) -> int:
        for name, value in self._base.items():
            if VOCABULARY[name].shape.startswith("B K L"):
                return value.shape[2]
        return int(self["lengths"].max())

    def shifted(self, offset: Float[Tensor, "B K"] | float) -> "Signals":
        """Return these signals with `offset` nats added to every response's log-probability."""
        base = {**self._base, "logps": self["logps"] + offset}
        return Signals(base, base.pop("where"), lambda: self.pairs)

    def replaced(self, **values: Tensor) -> "Signals":
        """Return these signals with other values for some of them; what derives from those is derived anew."""
        return self._view(lambda: self.pairs, {**self._replaced, **values})

    def swapped(self) -> "Signals":
        """Return these signals with chosen and rejected exchanged."""
        pairs = self.pairs
        replaced = {_other_side(name): value for name, value in self._replaced.items()}
        return self._view(lambda: Pairs(pairs.list, pairs.rejected, pairs.chosen), replaced)

    def _view(self, select: Callable[[], Pairs], values: Mapping[str, Tensor]) -> "Signals":
        base = dict(self._base)
        view = Signals(base, base.pop("where"), select)
        view._replaced = dict(values)
        view._known |= view._replaced
        return view


def _other_side(name: str) -> str:
    side, _, rest = name.partition("_")
    return f"{SIDES[1 - SIDES.index(side)]}_{rest}" if side in SIDES else name


def _tokens(lengths: Tensor, longest: int) -> Bool[Tensor, "B K L"]:
    return torch.arange(longest, device=lengths.device) < lengths[..., None]
