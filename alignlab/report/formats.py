"""A table as csv, markdown and LaTeX."""

import csv
import io
from collections.abc import Sequence

from alignlab.report.table import Table

FIELDS = ("setting", "metric", "mean", "ci95_half_width", "seeds")
TESTED = ("difference", "difference_ci95_half_width", "test", "pairs", "p_holm")


def as_csv(table: Table) -> str:
    """One row a setting and metric, in full precision."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([*FIELDS, *TESTED])
    for setting, cells in zip(table.settings, table.cells, strict=True):
        for metric, cell in zip(table.metrics, cells, strict=True):
            if cell is not None:
                mean, gap = cell.estimate, cell.difference
                tested = (gap.mean, gap.half, gap.test, gap.pairs, cell.p) if gap else [""] * len(TESTED)
                row = [setting.name, metric, mean.value, mean.half, mean.count, *tested]
                writer.writerow(["" if value != value else value for value in row])  # NaN is an empty cell
    return text.getvalue()


def as_markdown(table: Table) -> str:
    """The table for a README, with the differences from the baseline and the notes below."""
    text = _markdown(table.header, table.rows)
    if table.differences:
        text += "\n" + _markdown([f"less {table.baseline.name}", *table.header[2:]], table.differences)
    return text + "\n" + "".join(f"- {_escaped(note)}\n" for note in table.notes)


def as_latex(table: Table) -> str:
    """The table for a paper, as LaTeX that needs the package booktabs."""
    lines = [" & ".join(map(_tex, cells)) + r" \\" for cells in (table.header, *table.rows)]
    return "\n".join(
        [
            rf"\begin{{tabular}}{{l{'r' * (len(table.header) - 1)}}}",
            r"\toprule",
            lines[0],
            r"\midrule",
            *lines[1:],
            r"\bottomrule",
            r"\end{tabular}",
            *(f"% {note}" for note in table.notes),
            "",
        ]
    )


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [list(map(_escaped, header)), ["---", *["---:"] * (len(header) - 1)]]
    lines += [list(map(_escaped, row)) for row in rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def _escaped(text: str) -> str:
    """The text with nothing in it that means something to markdown."""
    return text.replace("|", "\\|").replace("*", "\\*")


def _tex(text: str) -> str:
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    special |= {sign: f"\\{sign}" for sign in "&%$#_{}"}
    escaped = "".join(special.get(sign, sign) for sign in text).replace(" ± ", r" $\pm$ ")
    stripped = escaped.rstrip("*")
    return stripped + (f"$^{{{'*' * (len(escaped) - len(stripped))}}}$" if stripped != escaped else "")
