"""One question to a trained policy, answered by a table and a picture.

python scripts/analyze.py ranking_accuracy run=<folder>      which pairs it ranks rightly, and which were too hard
python scripts/analyze.py ches run=<folder>                  do pairs that look alike lose their chosen response
python scripts/analyze.py calibration run=<folder>           is sigmoid(margin) how often chosen is preferred
python scripts/analyze.py length run=<folder>                does the implicit reward pay for length
python scripts/analyze.py displacement run=<folder>          what fell, which tokens gained, do refusals grow
python scripts/analyze.py frontier run=<folder>              win rate of samples against KL, over its checkpoints
python scripts/analyze.py toy3d objective=dpo                where probability goes, in a toy

Takes run= and overrides as scripts/score.py does, --split validation|train, and --out, the folder of the picture
(the run's analysis/ unless told otherwise). displacement draws --samples answers of start and policy to count refusals
(0: none). frontier takes the checkpoints that callbacks.checkpoint.keep left. toy3d takes objective=, regularizers=
and modifiers= (of the run, where run= is given), --epochs and --lr.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from alignlab.analysis.calibration import calibration
from alignlab.analysis.ches import ches
from alignlab.analysis.displacement import displacement
from alignlab.analysis.examined import examine, scored
from alignlab.analysis.frontier import frontier
from alignlab.analysis.length import length
from alignlab.analysis.ranking_accuracy import ranking_accuracy
from alignlab.analysis.result import Analysis
from alignlab.analysis.samples import evidence, points
from alignlab.analysis.scored import Scored
from alignlab.analysis.toy3d import toy3d
from alignlab.config.stage_of import run_config, run_of, stage_of_run, stage_to_score, train_config
from alignlab.data.spec import SPLITS
from alignlab.errors import AlignlabError, ConfigError
from alignlab.objective.load import build_objective
from alignlab.runs.folder import RunFolder

OF_ROWS: dict[str, Callable[[Scored], Analysis]] = {
    "ranking_accuracy": ranking_accuracy,
    "ches": ches,
    "calibration": calibration,
    "length": length,
}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=[*OF_ROWS, "displacement", "frontier", "toy3d"])
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="run=, and what train.py takes")
    parser.add_argument("--split", choices=SPLITS, default="validation")
    parser.add_argument("--out", type=Path, help="folder of the picture")
    parser.add_argument("--samples", type=int, default=64, help="of displacement")
    parser.add_argument("--epochs", type=int, default=500, help="of toy3d")
    parser.add_argument("--lr", type=float, default=0.001, help="of toy3d")
    chosen = parser.parse_intermixed_args(arguments)
    try:
        run, others = run_of(chosen.overrides)
        found = answered(chosen, run, others)
    except AlignlabError as error:
        sys.exit(f"error: {error}")
    folder = chosen.out or (run.path / "analysis" if run else Path("outputs/analysis"))
    written = found.draw(folder / f"{chosen.what}.png")
    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    console.print(table(found))
    console.print(f"written: {', '.join(map(str, written))}", soft_wrap=True)


def answered(chosen: argparse.Namespace, run: RunFolder | None, others: Sequence[str]) -> Analysis:
    if chosen.what == "toy3d":
        config = run_config(run, others) if run else train_config(others)
        parts = [config[group] for group in ("objective", "regularizers", "modifiers")]
        return toy3d(build_objective(*parts), epochs=chosen.epochs, lr=chosen.lr)
    if chosen.what == "frontier":
        if run is None:
            raise ConfigError("frontier needs a run: pass run=<a run folder>")
        return frontier(points(stage_of_run(run, others), run, split=chosen.split))
    examined = examine(stage_to_score(chosen.overrides), chosen.split)
    rows = scored(examined, products=chosen.what == "ches")
    if chosen.what == "displacement":
        return displacement(rows, evidence(examined, rows, samples=chosen.samples))
    return OF_ROWS[chosen.what](rows)


def table(found: Analysis) -> Table:
    made = Table(title=found.title, title_justify="left", show_header=False)
    made.add_column("")
    made.add_column("", justify="right", overflow="fold")
    for line in found.lines:
        made.add_row(*line)
    return made


if __name__ == "__main__":
    main()
