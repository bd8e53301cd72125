"""Many runs at a glance, or one.

alignlab report runs=multirun/2026-11-21_11-42-54
alignlab report runs=[outputs/a,outputs/b] baseline=objective=dpo metrics=[gold/reward,gold/kl] out=compared

    runs=[a,b]       the folder of a sweep, or any folders with runs below them
    out=FOLDER       where to; report/ in the first folder unless told otherwise
    baseline=ROW     what the other rows are compared with, by its name in the table; the first row otherwise
    metrics=[a,b]    these columns, by their names in summary.json
    test=t           or wilcoxon: paired over seeds (t from 3 seeds on, wilcoxon from 6); Welch's t where rows share no
                     seeds

Runs that differ by their seeds alone make a row: mean ± half a 95 % interval over the seeds, and stars where a
difference from the baseline was tested and held. Writes report.html (one page, nothing to fetch), table.csv, table.md,
table.tex and pictures. Of a single run, its own page and plots are made anew.
"""

from collections.abc import Sequence

from alignlab.console import print_table
from alignlab.errors import ConfigError
from alignlab.runs.folder import RunFolder
from alignlab.verbs.words import choice, many, output, path, read, text

SHOWN_METRICS = 5
"""The number of metrics that fit a terminal; the files have all."""
KEYS = {
    "runs": many(path()),
    "out": output(),
    "baseline": text(),
    "metrics": many(text()),
    "test": choice("t", ("t", "wilcoxon")),
}


def run(words: Sequence[str]) -> None:
    """Write the report's page, and print its table."""
    own = read(words, KEYS).own
    if not own.runs:
        raise ConfigError("give the folders as runs=DIR, several as runs=[a,b]")

    from alignlab.report.comparison import compare_plots
    from alignlab.report.formats import as_csv, as_latex, as_markdown
    from alignlab.report.page import runs_page, write_report
    from alignlab.report.table import make_table
    from alignlab.runs.record import find_runs
    from alignlab.runs.setting import finished_settings, metrics_of

    runs = find_runs(own.runs)
    if len(own.runs) == len(runs) == 1 and runs[0].path == own.runs[0].resolve():
        if own.out or own.baseline or own.metrics:
            raise ConfigError(
                f"runs={own.runs[0]} is one run, whose page stands in its folder: out=, baseline= and metrics= are for "
                "reports of several"
            )
        write_report(RunFolder(own.runs[0]))
        if runs[0].report_due:
            RunFolder(own.runs[0]).update_summary(report="written")
        print(f"written: {own.runs[0] / 'report.html'}")
        return
    settings, metrics = finished_settings(runs), own.metrics or []
    compared = {"baseline": own.baseline, "test": own.test}
    table = make_table(settings, metrics=metrics, **compared)
    every = make_table(settings, metrics=metrics or list(metrics_of(settings)), **compared)
    out = RunFolder(own.out or own.runs[0] / "report")
    pictures = compare_plots(settings, out.plots)
    out.write_text("table.csv", as_csv(every))
    out.write_text("table.md", as_markdown(table))
    out.write_text("table.tex", as_latex(table))
    out.write_text("report.html", runs_page(own.runs, runs, table, pictures))
    columns = 2 + SHOWN_METRICS
    title = ", ".join(map(str, own.runs))
    print_table(title, table.header[:columns], [row[:columns] for row in table.rows])
    for note in table.notes:
        print(note)
    print(f"written: {out.path} (report.html, table.csv, table.md, table.tex, plots/)")
