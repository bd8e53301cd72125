"""One question to a trained policy, answered by a table and a picture.

alignlab analyze ranking_accuracy run=<folder>      which pairs it ranks rightly, and which were too hard
alignlab analyze ches run=<folder>                  do pairs that look alike lose their chosen response
alignlab analyze calibration run=<folder>           is sigmoid(margin) how often chosen is preferred
alignlab analyze length run=<folder>                does the implicit reward pay for length
alignlab analyze displacement run=<folder>          what fell, which tokens gained, do refusals grow
alignlab analyze frontier run=<folder>              win rate of samples against KL, over its checkpoints
alignlab analyze toy3d objective=dpo                where probability goes, in a toy
alignlab analyze on_policy                          what own samples and negative gradients are worth, in a bandit

    run=FOLDER          the run that is asked, changed by overrides as in `alignlab score`
    trust=[PACKAGE]     packages of yours that the config of the run may name
    split=validation    or train
    out=FOLDER          of the picture; the run's analysis/ unless told otherwise
    samples=64          displacement: answers of start and policy that refusals are counted in; 0: none
    epochs=500 lr=0.001     of toy3d
    steps=300           of on_policy

frontier takes the checkpoints that callbacks.checkpoint.keep left. toy3d takes objective=, regularizers= and modifiers=
(of the run, where run= is given).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from alignlab.console import printer
from alignlab.errors import ConfigError, nearest
from alignlab.verbs.score import SPLITS
from alignlab.verbs.words import Words, choice, number, output, path, read, trust, whole

if TYPE_CHECKING:
    from alignlab.analysis.result import Analysis
    from alignlab.runs.folder import RunFolder

OF_ROWS = ("ranking_accuracy", "ches", "calibration", "length")
"""The questions that the scores of the rows answer."""
QUESTIONS = (*OF_ROWS, "displacement", "frontier", "toy3d", "on_policy")
KEYS = {
    "run": path(),
    "trust": trust(),
    "split": choice("validation", SPLITS),
    "out": output(),
    "samples": whole(64, least=0),
    "epochs": whole(500),
    "lr": number(0.001, positive=True),
    "steps": whole(300),
}


def run(words: Sequence[str]) -> None:
    """Answer the question that the first word names."""
    typed = read(words, KEYS, overrides=True, names=1)
    question = typed.names[0] if typed.names else ""
    if question not in QUESTIONS:
        asked = f"there is no question '{question}'" if question else "name a question"
        raise ConfigError(f"{asked}: {nearest(question, QUESTIONS)} (of: {', '.join(QUESTIONS)})")

    from alignlab.config.stage_of import trained_run

    folder = None if typed.own.run is None else trained_run(typed.own.run, typed.own.trust)
    analysis = _answered(question, typed, folder)
    pictures = typed.own.out or (folder.path / "analysis" if folder else Path("outputs/analysis"))
    written = analysis.draw(pictures / f"{question}.png")
    console = printer()
    console.print(_table(analysis))
    console.print(f"written: {', '.join(map(str, written))}", soft_wrap=True)


def _answered(question: str, typed: Words, folder: "RunFolder | None") -> "Analysis":
    own, overrides = typed.own, typed.overrides
    if question == "toy3d":
        from alignlab.analysis.toy3d import toy3d
        from alignlab.config.stage_of import run_config, train_config
        from alignlab.objective.load import build_objective

        config = run_config(folder, overrides) if folder else train_config(overrides)
        parts = [config[group] for group in ("objective", "regularizers", "modifiers")]
        return toy3d(build_objective(*parts), epochs=own.epochs, lr=own.lr)
    if question == "on_policy":
        from alignlab.analysis.on_policy import on_policy

        return on_policy(steps=own.steps)
    if question == "frontier":
        from alignlab.analysis.frontier import frontier
        from alignlab.analysis.samples import points
        from alignlab.config.stage_of import stage_of_run

        if folder is None:
            raise ConfigError("frontier needs a run: pass run=<a run folder>")
        return frontier(points(stage_of_run(folder, overrides), folder, split=own.split))
    return _of_rows(question, typed, folder)


def _of_rows(question: str, typed: Words, folder: "RunFolder | None") -> "Analysis":
    from alignlab.analysis.calibration import calibration
    from alignlab.analysis.ches import ches
    from alignlab.analysis.displacement import displacement
    from alignlab.analysis.examined import examine, scored
    from alignlab.analysis.length import length
    from alignlab.analysis.ranking_accuracy import ranking_accuracy
    from alignlab.analysis.samples import evidence
    from alignlab.config.stage_of import stage_to_score

    examined = examine(stage_to_score(typed.overrides, folder), typed.own.split)
    rows = scored(examined, products=question == "ches")
    if question == "displacement":
        return displacement(rows, evidence(examined, rows, samples=typed.own.samples))
    answers = (ranking_accuracy, ches, calibration, length)
    return dict(zip(OF_ROWS, answers, strict=True))[question](rows)


def _table(analysis: "Analysis") -> Table:
    table = Table(title=analysis.title, title_justify="left", show_header=False)
    table.add_column("")
    table.add_column("", justify="right", overflow="fold")
    for line in analysis.lines:
        table.add_row(*line)
    return table
