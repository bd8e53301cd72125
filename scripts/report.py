"""Many runs at a glance: `python scripts/report.py runs=multirun/2026-11-21_11-42-54`.

Takes the folder of a sweep, or any folders with runs below them (`runs=a,b`). Runs that differ by their seeds alone
make a row: mean ± half a 95 % interval over the seeds, and stars where a difference from the baseline was tested
and held. Writes report.html (one page, nothing to fetch), table.csv, table.md, table.tex and pictures. Of a
single run, its own page and plots are made anew.

    --out DIR              where to; report/ in the first folder unless told otherwise
    --baseline ROW         what the other rows are compared with, by its name in the table; the first row otherwise
    --metrics a,b          these columns, by their names in summary.json
    --test t|wilcoxon      paired over seeds (t from 3 seeds on, wilcoxon from 6); Welch's t where rows share no seeds
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from alignlab.console import print_table
from alignlab.errors import AlignlabError, ConfigError
from alignlab.report.comparison import compare_plots
from alignlab.report.formats import as_csv, as_latex, as_markdown
from alignlab.report.page import runs_page, write_report
from alignlab.report.table import make_table
from alignlab.runs.folder import RunFolder
from alignlab.runs.record import find_runs
from alignlab.runs.setting import finished_settings, metrics_of

SHOWN_METRICS = 5
"""What fits a terminal; the files have all."""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", metavar="runs=DIR", help="folders with runs below them, with commas between")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--baseline")
    parser.add_argument("--metrics", default="")
    parser.add_argument("--test", default="t")
    chosen = parser.parse_args(arguments)
    try:
        report(chosen)
    except AlignlabError as error:
        sys.exit(f"error: {error}")


def report(chosen: argparse.Namespace) -> None:
    key, equals, value = chosen.runs.partition("=")
    if key != "runs" or not equals:
        raise ConfigError(f"'{chosen.runs}': give the folders as runs=DIR")
    folders = [Path(name) for name in value.split(",")]
    runs = find_runs(folders)
    if len(folders) == len(runs) == 1 and runs[0].path == folders[0].resolve():
        write_report(RunFolder(folders[0]))
        print(f"written: {folders[0] / 'report.html'}")
        return
    settings = finished_settings(runs)
    metrics = [name for name in chosen.metrics.split(",") if name]
    compared = {"baseline": chosen.baseline, "test": chosen.test}
    table = make_table(settings, metrics=metrics, **compared)
    every = make_table(settings, metrics=metrics or list(metrics_of(settings)), **compared)
    out = RunFolder(chosen.out or folders[0] / "report")
    pictures = compare_plots(settings, out.plots)
    out.write_text("table.csv", as_csv(every))
    out.write_text("table.md", as_markdown(table))
    out.write_text("table.tex", as_latex(table))
    out.write_text("report.html", runs_page(folders, runs, table, pictures))
    columns = 2 + SHOWN_METRICS
    print_table(value, table.header[:columns], [row[:columns] for row in table.rows])
    for note in table.notes:
        print(note)
    print(f"written: {out.path} (report.html, table.csv, table.md, table.tex, plots/)")


if __name__ == "__main__":
    main()
