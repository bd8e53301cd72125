"""What a trained policy makes of a dataset: implicit rewards, accuracy, and every response in a table.

python scripts/score.py run=outputs/dpo-lab/2026-11-21_11-42-54
python scripts/score.py run=<folder> data=hh_rlhf data.path=/my/copy --split train --out scores.parquet
python scripts/score.py model=local model.path=/my/model data=hh_rlhf data.path=/my/copy

With run= the rows are those of the run, changed by the overrides, under its trained model and the reference that it
was trained against. Without it the log-probabilities of a model, and with reference.path= its implicit rewards
against another one. --out writes a row a response: id, response, source, label, score (of the source), length
(tokens), logp, ref_logp (nats), reward (the objective's own: nats, or nats a token).
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from alignlab.analysis.examined import examine, scored
from alignlab.analysis.scored import Scored
from alignlab.analysis.summary import summaries
from alignlab.config.stage_of import stage_to_score
from alignlab.data.spec import SPLITS
from alignlab.errors import AlignlabError, ConfigError


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="run=, and what train.py takes")
    parser.add_argument("--split", choices=SPLITS, default="validation")
    parser.add_argument("--out", type=Path, help="a parquet file, a row a response")
    chosen = parser.parse_intermixed_args(arguments)
    try:
        if chosen.out is not None and chosen.out.suffix != ".parquet":
            raise ConfigError(f"--out {chosen.out}: expected a file that ends in .parquet")
        rows = scored(examine(stage_to_score(chosen.overrides), chosen.split))
    except AlignlabError as error:
        sys.exit(f"error: {error}")
    console = Console(width=None if sys.stdout.isatty() else 140, highlight=False)
    console.print(table(rows, chosen.split))
    if chosen.out is not None:
        rows.write(chosen.out)
        console.print(f"written: {chosen.out}", soft_wrap=True)


def table(rows: Scored, split: str) -> Table:
    """A column for the whole, and one a source."""
    found = list(summaries(rows))
    made = Table(
        title=f"{split}, beta {rows.reward.beta:g}: value [95 % interval over lists]", title_justify="left"
    )
    made.add_column("")
    for name, _, _ in found:
        made.add_column(name, justify="right", overflow="fold")
    made.add_row("lists", *(f"{len(part.ids):,}" for _, part, _ in found))
    made.add_row("ordered pairs", *(f"{len(part.pairs.list):,}" for _, part, _ in found))
    for figure in found[0][2]:
        made.add_row(figure, *(part[figure].text() if figure in part else "-" for _, _, part in found))
    return made


if __name__ == "__main__":
    main()
