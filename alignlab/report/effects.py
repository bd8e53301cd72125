"""What each key of a sweep does to a metric, where all others are equal."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from alignlab.report.figures import finish, picture
from alignlab.report.table import title_of
from alignlab.runs.setting import Setting
from alignlab.uncertainty import Estimate, mean_over_seeds

FEWEST_KEYS = 3
"""Keys below which a heat map shows all that there is."""


@dataclass(frozen=True)
class Effect:
    """The difference of a value of a key from another one, over the runs that differ in this key alone."""

    key: str
    value: str
    against: str
    difference: Estimate


def effects(settings: Sequence[Setting], metric: str) -> list[Effect]:
    """The effect of each value of each key against the one that came first, over all pairs of runs of one seed."""
    by_choices = {frozenset(setting.choices.items()): setting for setting in settings}
    keys = dict.fromkeys(key for setting in settings for key in setting.choices)
    found = []
    for key in keys:
        first, *others = dict.fromkeys(setting.choices.get(key, "") for setting in settings)
        for value in others:
            differences = [
                theirs[seed] - ours
                for setting in settings
                if setting.choices.get(key) == first
                and (other := by_choices.get(frozenset({**setting.choices, key: value}.items())))
                for theirs in [other.values(metric)]
                for seed, ours in setting.values(metric).items()
                if seed in theirs
            ]
            if len(differences) > 1:
                found.append(Effect(key, value, first, mean_over_seeds(differences)))
    return found


def draw_effects(settings: Sequence[Setting], metric: str | None, folder: Path) -> Iterator[Path]:
    """Draw the effects of the keys of a sweep over three keys or more; gives the file."""
    if metric is None or len({key for setting in settings for key in setting.choices}) < FEWEST_KEYS:
        return
    rows = effects(settings, metric)[::-1]
    if not rows:
        return
    file = folder / "effects.png"
    with picture(file, (7.2, 1.4 + 0.55 * len(rows))) as axes:
        for place, row in enumerate(rows):
            mean = row.difference
            axes.plot([mean.low, mean.high], [place, place], color="#0072B2", lw=2)
            axes.plot(mean.value, place, "o", color="#0072B2", ms=7)
        axes.axvline(0, color="grey", lw=0.8)
        names = [f"{row.key.rpartition('.')[2]}: {row.value}\nagainst {row.against}" for row in rows]
        axes.set_yticks(range(len(rows)), names)
        axes.set_ylim(-0.6, len(rows) - 0.4)
        pairs = ", ".join(map(str, sorted({row.difference.count for row in rows})))
        told = f"95 % interval over {pairs} pairs of runs"
        finish(axes, x=f"difference of {title_of(metric, settings)}\n{told}", y="")
    yield file
