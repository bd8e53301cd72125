"""Pictures of the ledger: effects with their intervals and seeds, and curves over a setting."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from alignlab.claims.runs_of import Plan, Results
from alignlab.claims.verdict import FAILS, HOLDS, OPEN, Outcome
from alignlab.report.figures import COLOURS, PALE, finish, look, picture
from alignlab.uncertainty import mean_over_seeds

STYLES = {
    HOLDS: {"color": COLOURS[0], "marker": "o"},
    FAILS: {"color": COLOURS[1], "marker": "s"},
    OPEN: {"color": "#7a7a7a", "marker": "D"},
}
"""How a comparison is drawn, by its verdict."""


def draw(plan: Plan, outcome: Outcome, results: Results, folder: Path) -> list[Path]:
    """Draw the pictures of a claim that was run; gives their files, none of one that was not."""
    if not outcome.findings:
        return []
    name = plan.claim.name
    files = [_effects(outcome, folder / f"{name}.png")]
    if plan.claim.curve:
        files.append(_curve(plan, results, plan.claim.curve, folder / f"{name}-curve.png"))
    return files


def _effects(outcome: Outcome, file: Path) -> Path:
    """Each comparison in units of its margin: mean, 95 % interval, seeds as dots, and the margin as a band."""
    findings = list(outcome.findings)
    with picture(file, (7.2, 1.3 + 0.55 * len(findings))) as axes:
        axes.axvspan(-1, 1, color=PALE, alpha=0.3, lw=0, label="within the margin")
        axes.axvline(0, color="grey", lw=0.8)
        labelled = set[str]()
        for place, finding in enumerate(findings):
            unit, style = finding.comparison.margin, STYLES[finding.verdict]
            label = None if finding.verdict in labelled else finding.verdict
            labelled.add(finding.verdict)
            seeds = [one / unit for one in finding.by_seed]
            axes.plot(seeds, [place] * len(seeds), "o", color=style["color"], ms=3.5, alpha=0.45)
            mean, half = finding.mean / unit, finding.half / unit
            axes.errorbar(mean, place, xerr=half, **style, ls="", ms=6, capsize=4, label=label)
        names = [
            f"{i}, {finding.comparison.expect.replace('_', ' ')}" for i, finding in enumerate(findings, 1)
        ]
        axes.set_yticks(range(len(findings)), names)
        axes.set_ylim(len(findings) - 0.4, -0.6)
        finish(axes, x="effect, in units of the margin (95 % interval, dots are seeds)", y="expected")
    return file


def _curve(plan: Plan, results: Results, curve: Mapping[str, str], file: Path) -> Path:
    """Means over the seeds of all metrics `<of>/<number>`, by the number."""
    chosen = plan.chosen(results)
    with picture(file, (6.4, 4.2)) as axes:
        for place, arm in enumerate(plan.claim.arms):
            runs = [results(job) or {} for job in plan.of_arm(arm, chosen[arm])]
            points = _numbers([*runs[0]], curve["of"])
            if not points:
                continue
            means = [mean_over_seeds([run[name] for run in runs]) for name, _ in points]
            x, y, half = (
                [at for _, at in points],
                [mean.value for mean in means],
                [mean.half for mean in means],
            )
            axes.errorbar(
                x, y, yerr=half, **look(place), lw=1.6, ms=5, capsize=3, label=arm.replace("_", " ")
            )
        finish(axes, x=curve["x"], y="gold reward (mean and 95 % interval over seeds)")
    return file


def _numbers(names: Sequence[str], prefix: str) -> list[tuple[str, float]]:
    numbers = []
    for name in names:
        head, _, last = name.rpartition("/")
        if head == prefix and last.replace(".", "", 1).isdigit():
            numbers.append((name, float(last)))
    return sorted(numbers, key=lambda pair: pair[1])
