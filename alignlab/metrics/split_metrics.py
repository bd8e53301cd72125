"""Metrics that need all rows of a split at once: calibration, correlation with length, and slices of the data."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from alignlab.metrics.calibration import both_orders, brier
from alignlab.metrics.chosen_rejected import ChosenRejected
from alignlab.metrics.lengths import correlation, within_lists
from alignlab.metrics.ranking import wins
from alignlab.objective.implicit_reward import PREFERENCES, ImplicitReward
from alignlab.objective.pair_selection import all_pairs, decided

BINS = 10
SOURCES = 8
"""The number of sources with a slice of their own, the largest first; the rest is the slice `others`."""
GAPS = ("low", "middle", "high")


@dataclass(frozen=True)
class Rows:
    """The implicit rewards, lengths (in tokens) and labels of all lists of a split."""

    rewards: Float[Tensor, "B K"]
    lengths: Float[Tensor, "B K"]
    labels: Float[Tensor, "B K"]
    where: Bool[Tensor, "B K"]
    signed: bool = False
    """Whether the sign of a reward has a meaning, as it does against a reference."""
    leads: Float[Tensor, "B K K"] | None = None
    """The lead of the first response of every two over the second, where no difference of rewards gives it."""
    wins: Float[Tensor, "B K K"] | None = None
    """Who was preferred to whom, where labels do not tell."""

    @staticmethod
    def joined(parts: Sequence[Mapping[str, Tensor]], reward: ImplicitReward) -> "Rows":
        """Join the signals of micro-batches, whose longest lists may differ."""
        widest = max(part["where"].shape[1] for part in parts)

        def stacked(name: str) -> Tensor:
            values = [part[name].detach().cpu() for part in parts]
            more = [(0, widest - value.shape[1]) * (value.dim() - 1) for value in values]
            return torch.cat(
                [torch.nn.functional.pad(value, ends) for value, ends in zip(values, more, strict=True)]
            )

        scores = {
            name: stacked(name).double()
            for name in ("logps", "ref_logps", "values", "preferences", "lengths")
            if name in parts[0]
        }
        signed = "ref_logps" in scores and reward.against_reference
        leads = reward.beta * scores[PREFERENCES] if reward.scores == PREFERENCES else None
        wins = stacked("wins") if "wins" in parts[0] else None
        return Rows(
            reward.of(scores), scores["lengths"], stacked("labels"), stacked("where"), signed, leads, wins
        )

    def take(self, rows: Tensor) -> "Rows":
        """The lists that `rows`, a mask or numbers, selects."""
        return Rows(
            self.rewards[rows],
            self.lengths[rows],
            self.labels[rows],
            self.where[rows],
            self.signed,
            None if self.leads is None else self.leads[rows],
            None if self.wins is None else self.wins[rows],
        )

    @cached_property
    def margins(self) -> Float[Tensor, "P"]:
        """By how much chosen leads rejected, over all strictly ordered pairs: the difference of their rewards or so."""
        labels, where = self.labels, self.where
        pairs = all_pairs(labels, where) if self.wins is None else decided(self.wins, where)
        if self.leads is not None:
            return self.leads[pairs.list, pairs.chosen, pairs.rejected]
        return pairs.take(self.rewards, "chosen") - pairs.take(self.rewards, "rejected")


def split_metrics(rows: Rows, sources: Sequence[str] = ()) -> dict[str, float]:
    """The metrics of a whole split, by name, without those that are undefined.

    `calibration/ece` is over both orders of every strictly ordered pair with ten bins, `calibration/brier`
    over the pairs. `length_correlation` is Pearson's correlation of length and reward within lists, or over all
    responses where each is alone. Slices hold
    `rewards/accuracy` and `rewards/margin`: `source/<name>` where there are two or more of the `sources`
    (one name a list), `gap/low`, `middle` and `high` by the label gap of best and worst, in thirds.
    """
    metrics = {}
    if len(rows.margins):
        metrics["calibration/ece"] = both_orders(rows.margins, bins=BINS).ece
        metrics["calibration/brier"] = brier(rows.margins).mean().item()
    rewards, lengths = (within_lists(values, rows.where) for values in (rows.rewards, rows.lengths))
    if not len(rewards):
        rewards, lengths = rows.rewards[rows.where], rows.lengths[rows.where]
    if len(rewards):
        metrics["length_correlation"] = correlation(rewards, lengths)
    slices = {f"source/{name}": mask for name, mask in by_source(sources).items()}
    slices |= {f"gap/{name}": mask for name, mask in by_gap(rows.labels, rows.where).items()}
    for name, mask in slices.items():
        metrics |= {f"{name}/{metric}": value for metric, value in _slice(rows.take(mask)).items()}
    return {name: value for name, value in metrics.items() if value == value}


def diagram(rows: Rows) -> dict[str, list[float]]:
    """The reliability diagram behind `calibration/ece`, without empty bins; empty without any pair.

    It holds `predicted` (mean probability), `observed` (share that came true) and `count` of each bin.
    """
    if not len(rows.margins):
        return {}
    bins = both_orders(rows.margins, bins=BINS)
    columns = {"predicted": bins.predicted, "observed": bins.observed, "count": bins.counts}
    return {name: values[bins.counts > 0].tolist() for name, values in columns.items()}


def by_source(sources: Sequence[str]) -> dict[str, Bool[Tensor, "B"]]:
    """Masks of the lists of each source, by its name; none where all are of one source."""
    counts = Counter(sources)
    if len(counts) < 2:
        return {}
    names = sorted(counts, key=lambda name: (-counts[name], name))[:SOURCES]
    masks = {name: torch.tensor([source == name for source in sources]) for name in sorted(names)}
    rest = ~torch.stack([*masks.values()]).any(0)
    return masks | ({"others": rest} if rest.any() else {})


def by_gap(labels: Float[Tensor, "B K"], where: Bool[Tensor, "B K"]) -> dict[str, Bool[Tensor, "B"]]:
    """Masks of the lists by the gap between best and worst label, in thirds; fewer where gaps are equal."""
    gaps = labels.masked_fill(~where, -torch.inf).amax(1) - labels.masked_fill(~where, torch.inf).amin(1)
    unequal = gaps[gaps > 0]
    if len(unequal.unique()) < 2:  # type: ignore[no-untyped-call]
        return {}
    low, high = unequal.sort().values[[(len(unequal) - 1) // 3, (2 * len(unequal) - 1) // 3]]
    masks = {"low": (gaps > 0) & (gaps <= low), "middle": (gaps > low) & (gaps <= high), "high": gaps > high}
    return {name: masks[name] for name in GAPS if masks[name].any()}


def _slice(rows: Rows) -> dict[str, float]:
    sides = ChosenRejected.of(rows.labels, rows.where)
    right = wins(rows.margins, torch.zeros_like(rows.margins))
    if rows.signed:
        right = torch.cat([right, sides.signs_right(rows.rewards)])
    chosen, rejected = (sides.take(rows.rewards, side).mean() for side in ("chosen", "rejected"))
    return {"rewards/accuracy": right.mean().item(), "rewards/margin": (chosen - rejected).item()}
