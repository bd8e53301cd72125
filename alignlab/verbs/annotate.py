"""What judges say of a data set, as rows that train: labels, scores by judge, aspects, reasons, and what is unsaid.

alignlab annotate data=ultrafeedback judge=reward_model judge.path=outputs/reward/.../model out=judged.jsonl
alignlab annotate data=hh_rlhf judge=[llm,reward_model] judge.llm.url=http://localhost:8000/v1 \\
    judge.llm.model=my-model judge.reward_model.path=/my/reward/model out=judged.jsonl budget=500
alignlab train data=local data.path=judged.jsonl objective=lipo_lambda

    judge=[NAME]         who judges, of conf/judge; the first one's verdicts become labels, those of all are kept
    out=FILE.jsonl       a row a list, in the schema of data=local
    split=train          or validation
    rows=N               the first N rows; all unless told otherwise
    budget=N             the largest number of lists that each judge is asked anew; the others are not written
    batch_size=32        lists that a judge is asked about at once
    run=FOLDER           the policy and the reference of a run, for judges that name no model; its rows too
    trust=[PACKAGE]      packages of yours that the config of the run may name

Takes the overrides of train. Every verdict is kept as soon as it is there, by the judge's identity and what it was
asked: broken off, the same command goes on where it stopped, and another one that asks the same asks nobody.
"""

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from alignlab.errors import ConfigError, DataError
from alignlab.verbs.words import choice, output, path, read, trust, whole

if TYPE_CHECKING:
    from alignlab.judges.annotation import Account
    from alignlab.judges.judge import Judge

KEYS = {
    "out": output(),
    "split": choice("train", ("train", "validation")),
    "rows": whole(None),
    "budget": whole(None, least=0),
    "batch_size": whole(32),
    "run": path(),
    "trust": trust(),
}


def run(words: Sequence[str]) -> None:
    """Ask the judges, write the rows, and tell what could not be said."""
    typed = read(words, KEYS, overrides=True)
    own = typed.own
    if own.out is None or own.out.suffix != ".jsonl":
        raise ConfigError("out= is missing: name the file to write, as out=judged.jsonl")

    _require_ours(own.out)

    from alignlab.config.judges import judges_of, without_judges
    from alignlab.config.judging import bind
    from alignlab.config.stage_of import stage_to_score, trained_run
    from alignlab.console import printer, quiet
    from alignlab.training.opened import read as rows_of

    judges = judges_of(typed.overrides)
    trained = None if own.run is None else trained_run(own.run, own.trust)
    stage = stage_to_score(without_judges(typed.overrides), trained)
    with quiet():
        examples = getattr(rows_of(stage), own.split)
        bind(judges, stage)
        account, seconds = _annotate([*examples[: own.rows or len(examples)]], judges, own, stage.cache_dir)
    for line in _lines(account, judges, seconds):
        printer(140).print(line, soft_wrap=True)
    printer().print(f"written: {own.out} ({account.written} rows)", soft_wrap=True)


def _annotate(
    examples: Sequence[Any], judges: "dict[str, Judge]", own: SimpleNamespace, cache_dir: Path
) -> "tuple[Account, dict[str, tuple[int, float]]]":
    """Ask every judge about all rows, and write them; returns what became of them, and each judge's work."""
    from alignlab.console import tracked
    from alignlab.judges.annotation import NOT_ASKED, Account, annotated, asked_of
    from alignlab.judges.judge import Asked, Judged
    from alignlab.judges.kept import Kept

    questions = [asked_of(example) for example in examples]
    said, identities, work = {}, {}, {}
    for name, judge in judges.items():
        kept, began = Kept(judge, cache_dir, at_once=own.batch_size), time.perf_counter()
        lists = [one for one in questions if isinstance(one, Asked)]
        within = dict(zip(map(id, lists), kept.affordable(lists, own.budget), strict=True))
        with tracked(f"lists judged by {name}", len(lists)) as advance:
            verdicts = iter(kept([one for one in lists if within[id(one)]], advance=advance))
        said[name] = [
            Judged(unsaid=one)
            if isinstance(one, str)
            else next(verdicts)
            if within[id(one)]
            else Judged(unsaid=NOT_ASKED)
            for one in questions
        ]
        identities[name] = kept.identity
        work[name] = kept.asked_anew, time.perf_counter() - began
    account = Account()
    rows = [*annotated(examples, said, identities, account)]
    if not rows:
        reasons = "; ".join(f"{count} lists: {reason}" for (_, reason), count in account.unsaid.items())
        raise DataError(f"out={own.out}: no row has a verdict ({reasons})")
    _write(own.out, rows)
    return account, work


def _require_ours(file: Path) -> None:
    """Raise DataError where the file is there and holds something else than annotated rows."""
    if not file.exists():
        return
    with file.open(encoding="utf-8", errors="replace") as stream:
        first = stream.readline()
    if not (first.startswith('{"id": ') and '"judges": {' in first):
        raise DataError(f"out={file} is there, and holds no annotated rows: name another one, or remove it")


def _write(file: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write the rows in one step, so that the file is there whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f"{file.name}.partial")
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, file)


def _lines(account: "Account", judges: "dict[str, Judge]", work: dict[str, tuple[int, float]]) -> list[str]:
    """What is told of the work: for each judge how much it was asked, and what it could not say."""
    lines = []
    for name in judges:
        asked, seconds = work[name]
        unsaid = [f"{count} {reason}" for (who, reason), count in account.unsaid.items() if who == name]
        without = f"; without a verdict: {', '.join(unsaid)}" if unsaid else ""
        lines.append(f"{name}: {asked} lists asked anew in {seconds:.1f} s{without}")
    if account.left_out:
        lines.append(f"{account.left_out} responses without a verdict were left out of their lists")
    return lines
