"""What a trained policy makes of a data set: implicit rewards, accuracy, and every response in a table.

alignlab score run=outputs/dpo-lab/2026-11-21_11-42-54
alignlab score run=<folder> data=hh_rlhf data.path=/my/copy split=train out=scores.parquet
alignlab score model=local model.path=/my/model data=hh_rlhf data.path=/my/copy

    run=FOLDER          the rows are those of the run, changed by the overrides, under its trained model and the
                        reference that it was trained against
    split=validation    or train
    out=FILE.parquet    a row a response: id, response, source, label, score (of the source), length (tokens), logp,
                        ref_logp (nats), reward (the objective's own: nats, or nats a token)
    trust=[PACKAGE]     packages of yours that the config of the run may name

Without run= the log-probabilities of a model, and with reference.path= its implicit rewards against another one. Takes
the overrides of train.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from alignlab.console import printer
from alignlab.errors import ConfigError
from alignlab.verbs.words import choice, output, path, read, trust

if TYPE_CHECKING:
    from alignlab.analysis.scored import Scored

SPLITS = ("validation", "train")
KEYS = {"run": path(), "split": choice("validation", SPLITS), "out": output(), "trust": trust()}


def run(words: Sequence[str]) -> None:
    """Score the rows, print the results, and write the table."""
    typed = read(words, KEYS, overrides=True)
    own = typed.own
    if own.out is not None and own.out.suffix != ".parquet":
        raise ConfigError(f"out={own.out}: expected a file that ends in .parquet")

    from alignlab.analysis.examined import examine, scored
    from alignlab.config.stage_of import stage_to_score, trained_run

    trained = None if own.run is None else trained_run(own.run, own.trust)
    rows = scored(examine(stage_to_score(typed.overrides, trained), own.split))
    console = printer(140)
    console.print(table(rows, own.split))
    if own.out is not None:
        rows.write(own.out)
        console.print(f"written: {own.out}", soft_wrap=True)


def table(rows: "Scored", split: str) -> Table:
    """Return a table with a column for all rows, and one for each source."""
    from alignlab.analysis.summary import summaries

    parts = list(summaries(rows))
    title = f"{split}, beta {rows.reward.beta:g}: value [95 % interval over lists]"
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for name, _, _ in parts:
        table.add_column(name, justify="right", overflow="fold")
    table.add_row("lists", *(f"{len(part.ids):,}" for _, part, _ in parts))
    table.add_row("ordered pairs", *(f"{len(part.pairs.list):,}" for _, part, _ in parts))
    for figure in parts[0][2]:
        table.add_row(figure, *(part[figure].text() if figure in part else "-" for _, _, part in parts))
    return table
