"""What the runs come to: tables, csv, pictures."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from alignlab.console import print_table
from bench.cases import Case
from bench.contenders import NAMES, Run, loss_gap

COLOURS = dict(zip(NAMES, ("#0072B2", "#999999", "#E69F00", "#D55E00", "#000000"), strict=True))
"""Told apart by colour-blind eyes too."""
FLOOR = 0.9
TRL = ("trl", "trl best", "trl tuned")
"""The fastest of them is the measure of speed, the second that of memory."""


@dataclass(frozen=True)
class Line:
    """One contender over all rounds of a case: medians, and ratios to others in the same round."""

    case: str
    contender: str
    flags: str
    lists_per_second: float
    slowest: float
    fastest: float
    cpu_seconds_per_list: float
    peak_mb: float
    speed_to_trl: float | None
    memory_to_trl: float | None
    speed_to_floor: float | None
    reference_seconds: str
    """Of each round, for who tells: the first fills a cache."""
    loss_gap: float | None
    """Between alignlab and TRL at the same steps, on alignlab's line."""


def lines(runs: Sequence[Run]) -> list[Line]:
    """A line a contender, in the order in which they ran."""
    made = []
    for case, contender in dict.fromkeys((run.case, run.contender) for run in runs):
        every = [run for run in runs if run.case == case]
        own = [run for run in every if run.contender == contender]
        speeds = [run.lists_per_second for run in own]
        made.append(
            Line(
                case=case,
                contender=contender,
                flags=own[0].flags,
                lists_per_second=median(speeds),
                slowest=min(speeds),
                fastest=max(speeds),
                cpu_seconds_per_list=median(run.cpu_seconds_per_list for run in own),
                peak_mb=median(run.peak_mb for run in own),
                speed_to_trl=_ratio(own, every, TRL, "lists_per_second"),
                memory_to_trl=_ratio(own, every, TRL[1:2], "peak_mb"),
                speed_to_floor=_ratio(own, every, ("floor",), "lists_per_second"),
                reference_seconds=", ".join(
                    f"{run.reference_seconds:.1f}" for run in own if run.reference_seconds is not None
                ),
                loss_gap=loss_gap(every) if contender == "alignlab" else None,
            )
        )
    return made


def _ratio(own: Sequence[Run], every: Sequence[Run], others: Sequence[str], what: str) -> float | None:
    """Median over rounds of one run's value to the largest of the others' in the same round."""
    ratios = []
    for run in own:
        theirs = [getattr(r, what) for r in every if r.round == run.round and r.contender in others]
        ratios += [getattr(run, what) / max(theirs)] if theirs else []
    return median(ratios) if ratios else None


def print_case(case: Case, found: Sequence[Line]) -> None:
    """The table of a case, and whether its goals are met."""
    what = "pairs" if case.responses == 2 else "lists"
    header = [
        "",
        f"{what}/s",
        "from .. to",
        f"cpu s/{what[:-1]}",
        "peak MB",
        "speed / TRL",
        "MB / TRL",
        "speed / floor",
    ]
    rows = [
        [
            line.contender,
            _figure(line.lists_per_second),
            f"{_figure(line.slowest)} .. {_figure(line.fastest)}",
            _figure(line.cpu_seconds_per_list),
            f"{line.peak_mb:,.0f}",
            *map(_figure, (line.speed_to_trl, line.memory_to_trl, line.speed_to_floor)),
        ]
        for line in found
    ]
    title = f"{case.name}: prompt {_span(case.prompt)}, response {_span(case.response)}, K={case.responses}, "
    print_table(f"{title}{case.lists_per_step} {what} a step, vocabulary {case.vocabulary:,}", header, rows)
    flags = {line.contender: line.flags for line in found if line.flags}
    print("; ".join(f"{name}: {text}" for name, text in flags.items()))
    for line in found:
        if line.contender == "alignlab":
            print(f"reference pass of alignlab by round: {line.reference_seconds} s")
            if line.loss_gap is not None:
                print(f"losses of alignlab and TRL at the same steps differ by {line.loss_gap:.1e} at most")
            print("".join(f"{text}\n" for text in verdicts(case, line)))


def verdicts(case: Case, line: Line) -> Iterable[str]:
    """Goals that could be measured."""
    speed, memory = case.goal or (None, None)
    for what, found, goal in (
        ("speed to TRL", line.speed_to_trl, speed),
        ("memory to TRL", line.memory_to_trl, memory),
        ("speed to the floor", line.speed_to_floor, FLOOR if case.goal else None),
    ):
        if found is not None and goal is not None:
            met = found <= goal if what.startswith("memory") else found >= goal
            bound = "at most" if what.startswith("memory") else "at least"
            yield f"{'met   ' if met else 'missed'} {what}: {found:.2f}, wanted {bound} {goal}"


def print_growth(axis: str, cases: Sequence[Case], found: Sequence[Line]) -> None:
    """Milliseconds a list and peak memory along one axis."""
    names = list(dict.fromkeys(line.contender for line in found))
    known = {(line.case, line.contender): line for line in found}
    rows = []
    for case in cases:
        of_case = [known.get((case.name, name)) for name in names]
        rows.append(
            [case.name]
            + [f"{1000 / line.lists_per_second:,.0f}" if line else "failed" for line in of_case]
            + [f"{line.peak_mb:,.0f}" if line else "" for line in of_case]
        )
    print_table(
        f"growth with {axis}", ["", *(f"{n}, ms/list" for n in names), *(f"{n}, MB" for n in names)], rows
    )


def write_csv(file: Path, rows: Sequence[Line | Run]) -> None:
    """Records as a table."""
    records = [asdict(row) for row in rows]
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, records[0])
        writer.writeheader()
        writer.writerows(records)


def plot(file: Path, groups: Mapping[str, Sequence[Case]], found: Sequence[Line], *, growth: bool) -> None:
    """Speed above and memory below: bars a case, or lines along an axis."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    names = [name for name in NAMES if any(line.contender == name for line in found)]
    known = {(line.case, line.contender): line for line in found}
    width = 5.0 if growth else 1.5 + 1.4 * max(map(len, groups.values()))
    figure, axes = plt.subplots(
        2, len(groups), figsize=(width * len(groups), 6.4), layout="constrained", squeeze=False
    )
    for column, (title, cases) in enumerate(groups.items()):
        for row, (label, what) in enumerate(
            (("lists a second", "lists_per_second"), ("peak memory, MB", "peak_mb"))
        ):
            panel = axes[row][column]
            for i, name in enumerate(names):
                values = [getattr(known.get((case.name, name)), what, float("nan")) for case in cases]
                if growth:
                    panel.plot(range(len(cases)), values, color=COLOURS[name], marker="o", label=name)
                else:
                    places = [x + (i - len(names) / 2) * 0.16 for x in range(len(cases))]
                    panel.bar(places, values, 0.16, color=COLOURS[name], label=name, align="edge")
            panel.set_yscale("log")
            panel.set(ylabel=label, title=title if row == 0 else "")
            panel.set_xticks(range(len(cases)), [case.name for case in cases], rotation=20)
            panel.grid(axis="y", alpha=0.3)
    figure.legend(
        *axes[0][0].get_legend_handles_labels(), loc="outside upper center", ncols=len(names), frameon=False
    )
    figure.savefig(file, dpi=120)
    plt.close(figure)


def _span(bounds: tuple[int, int]) -> str:
    return str(bounds[0]) if bounds[0] == bounds[1] else f"{bounds[0]}-{bounds[1]}"


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}" if value < 100 else f"{value:,.0f}"
