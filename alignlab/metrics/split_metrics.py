"""What only all rows of a split tell together: calibration, the part that length plays, and slices."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from alignlab.metrics.calibration import both_orders, brier
from alignlab.metrics.chosen_rejected import Sides
from alignlab.metrics.lengths import correlation, within_lists
from alignlab.metrics.ranking import wins
from alignlab.objective.implicit_reward import ImplicitReward
from alignlab.objective.pair_selection import all_pairs

BINS = 10
SOURCES = 8
"""Sources told apart, the largest first; the rest is one slice, `others`."""
GAPS = ("low", "middle", "high")


@dataclass(frozen=True)
class Rows:
    """Implicit rewards and what is known of the data, of all lists of a split."""

    rewards: Float[Tensor, "B K"]
    lengths: Float[Tensor, "B K"]
    labels: Float[Tensor, "B K"]
    where: Bool[Tensor, "B K"]
    signed: bool = False
    """Whether the sign of a reward says something, as it does against a reference."""

    @staticmethod
    def joined(parts: Sequence[Mapping[str, Tensor]], reward: ImplicitReward) -> "Rows":
        """From the signals of micro-batches, whose longest lists may differ."""
        widest = max(part["where"].shape[1] for part in parts)

        def stacked(name: str) -> Tensor:
            values = [part[name].detach().cpu() for part in parts]
            return torch.cat(
                [torch.nn.functional.pad(value, (0, widest - value.shape[1])) for value in values]
            )

        scores = {
            name: stacked(name).double()
            for name in ("logps", "ref_logps", "values", "lengths")
            if name in parts[0]
        }
        signed = "ref_logps" in scores and reward.against_reference
        return Rows(reward.of(scores), scores["lengths"], stacked("labels"), stacked("where"), signed)

    def take(self, rows: Tensor) -> "Rows":
        """Some of the lists."""
        return Rows(self.rewards[rows], self.lengths[rows], self.labels[rows], self.where[rows], self.signed)

    @cached_property
    def margins(self) -> Float[Tensor, "P"]:
        """Rewards of chosen less rejected, of all strictly ordered pairs."""
        pairs = all_pairs(self.labels, self.where)
        return pairs.take(self.rewards, "chosen") - pairs.take(self.rewards, "rejected")


def split_metrics(rows: Rows, sources: Sequence[str] = ()) -> dict[str, float]:
    """Metrics of a whole split; those that nothing can be said of are left out.

    `calibration/ece` is over both orders of every strictly ordered pair with ten bins, `calibration/brier`
    over the pairs. `length_correlation` is Pearson's, of length and reward within lists, or over all
    responses where each is alone. Slices hold
    `rewards/accuracy` and `rewards/margin`: `source/<name>` where there are two or more of the `sources`
    (one name a list), `gap/low`, `middle` and `high` by the label gap of best and worst, in thirds.
    """
    found = {}
    if len(rows.margins):
        found["calibration/ece"] = both_orders(rows.margins, bins=BINS).ece
        found["calibration/brier"] = brier(rows.margins).mean().item()
    rewards, lengths = (within_lists(values, rows.where) for values in (rows.rewards, rows.lengths))
    if not len(rewards):
        rewards, lengths = rows.rewards[rows.where], rows.lengths[rows.where]
    if len(rewards):
        found["length_correlation"] = correlation(rewards, lengths)
    slices = {f"source/{name}": mask for name, mask in by_source(sources).items()}
    slices |= {f"gap/{name}": mask for name, mask in by_gap(rows.labels, rows.where).items()}
    for name, mask in slices.items():
        found |= {f"{name}/{metric}": value for metric, value in _slice(rows.take(mask)).items()}
    return {name: value for name, value in found.items() if value == value}


def diagram(rows: Rows) -> dict[str, list[float]]:
    """The reliability diagram behind `calibration/ece`, without empty bins; empty without any pair.

    `predicted` (mean probability) and `observed` (share that came true) of each bin, and its `count`.
    """
    if not len(rows.margins):
        return {}
    bins = both_orders(rows.margins, bins=BINS)
    told = {"predicted": bins.predicted, "observed": bins.observed, "count": bins.counts}
    return {name: values[bins.counts > 0].tolist() for name, values in told.items()}


def by_source(sources: Sequence[str]) -> dict[str, Bool[Tensor, "B"]]:
    """Lists of each source, by its name; none where all are of one."""
    counts = Counter(sources)
    if len(counts) < 2:
        return {}
    told = sorted(counts, key=lambda name: (-counts[name], name))[:SOURCES]
    masks = {name: torch.tensor([source == name for source in sources]) for name in sorted(told)}
    rest = ~torch.stack([*masks.values()]).any(0)
    return masks | ({"others": rest} if rest.any() else {})


def by_gap(labels: Float[Tensor, "B K"], where: Bool[Tensor, "B K"]) -> dict[str, Bool[Tensor, "B"]]:
    """Lists by the gap between best and worst label, in thirds; fewer slices where gaps are equal."""
    gaps = labels.masked_fill(~where, -torch.inf).amax(1) - labels.masked_fill(~where, torch.inf).amin(1)
    told = gaps[gaps > 0]
    if len(told.unique()) < 2:  # type: ignore[no-untyped-call]
        return {}
    low, high = told.sort().values[[(len(told) - 1) // 3, (2 * len(told) - 1) // 3]]
    masks = {"low": (gaps > 0) & (gaps <= low), "middle": (gaps > low) & (gaps <= high), "high": gaps > high}
    return {name: masks[name] for name in GAPS if masks[name].any()}


def _slice(rows: Rows) -> dict[str, float]:
    sides = Sides.of(rows.labels, rows.where)
    right = wins(rows.margins, torch.zeros_like(rows.margins))
    if rows.signed:
        right = torch.cat([right, sides.signs_right(rows.rewards)])
    chosen, rejected = (sides.take(rows.rewards, side).mean() for side in ("chosen", "rejected"))
    return {"rewards/accuracy": right.mean().item(), "rewards/margin": (chosen - rejected).item()}
