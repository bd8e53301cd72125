"""What judges say of a data set, as rows that train: labels, scores by judge, aspects, reasons, and what is unsaid.

alignlab annotate data=ultrafeedback judge=reward_model judge.path=outputs/reward/.../model out=judged.jsonl
alignlab annotate data=hh_rlhf judge=[llm,reward_model] judge.llm.url=http://localhost:8000/v1 \\
    judge.llm.model=my-model judge.reward_model.path=/my/reward/model out=judged.jsonl budget=500
alignlab annotate data=ultrafeedback judge=[llm,reward_model] judge.llm.url=http://localhost:8000/v1 \\
    judge.llm.model=my-model judge.reward_model.path=/my/reward/model route.budget=.25 out=judged.jsonl
alignlab train data=local data.path=judged.jsonl objective=lipo_lambda

    judge=[NAME]         who judges, of conf/judge; the first one's verdicts become labels, those of all are kept
    out=FILE.jsonl       a row a list, in the schema of data=local
    split=train          or validation
    rows=N               the first N rows; all unless told otherwise
    budget=N             the largest number of lists that each judge is asked anew; the others are not written
    batch_size=32        lists that a judge is asked about at once
    route.budget=SHARE   of two judges the first, which costs more, labels this share of the rows, and the second the
                         others: those go to the first from which a reward model is predicted to gain most
    route.fit=0.5        the share of that budget for rows drawn at random, that both judge, to predict from
    route.by=linear      or quadratic, or lightgbm: what predicts a mix of verdicts from the features of its rows
    route.tags=[NAME]    entries of meta that are features too, as a subject or a difficulty
    route.mixes=500      random mixes that the prediction is from; route.seed=0 draws others
    run=FOLDER           the policy and the reference of a run, for judges that name no model; its rows too
    trust=[PACKAGE]      packages of yours that the config of the run may name

Takes the overrides of train. Every verdict is kept as soon as it is there, by the judge's identity and what it was
asked: broken off, the same command goes on where it stopped, and another one that asks the same asks nobody.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alignlab.errors import ConfigError, DataError
from alignlab.verbs.words import choice, many, output, path, read, share, text, trust, whole

if TYPE_CHECKING:
    from alignlab.judges.annotation import Account
    from alignlab.judges.questions import Questions
    from alignlab.judges.routing.route import Routing
    from alignlab.types import Example

KEYS = {
    "out": output(),
    "split": choice("train", ("train", "validation")),
    "rows": whole(None),
    "budget": whole(None, least=0),
    "batch_size": whole(32),
    "route.budget": share(),
    "route.fit": share(0.5),
    "route.by": choice("linear", ("linear", "quadratic", "lightgbm")),
    "route.tags": many(text()),
    "route.mixes": whole(500, least=10),
    "route.seed": whole(0, least=0),
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
    routing = _routing(vars(own), words)

    from alignlab.config.judges import judges_of, without_judges
    from alignlab.config.judging import bind
    from alignlab.config.stage_of import stage_to_score, trained_run
    from alignlab.console import printer, quiet
    from alignlab.judges.annotation import asked_of
    from alignlab.judges.questions import Questions
    from alignlab.training.opened import read as rows_of

    judges = judges_of(typed.overrides)
    if routing is not None and len(judges) != 2:
        raise ConfigError(
            "route.budget divides rows between two judges: name them, as judge=[llm,reward_model]"
        )
    trained = None if own.run is None else trained_run(own.run, own.trust)
    stage = stage_to_score(without_judges(typed.overrides), trained)
    with quiet():
        rows = rows_of(stage, ties=routing is None)
        examples = [*getattr(rows, own.split)][: own.rows]
        bind(judges, stage)
        questions = [asked_of(example) for example in examples]
        asked = [
            Questions(name, judge, questions, stage.cache_dir, at_once=own.batch_size)
            for name, judge in judges.items()
        ]
        lines: list[str] = []
        if routing is None:
            for one in asked:
                one.ask_within(own.budget)
        else:
            other = rows.train if own.split == "validation" else rows.validation
            examples, lines = _route(examples, asked, [*other], routing)
        account = _written(examples, asked, own.out)
    for line in [*_lines(account, asked), *lines]:
        printer(140).print(line, soft_wrap=True)
    printer().print(f"written: {own.out} ({account.written} rows)", soft_wrap=True)


def _routing(own: Mapping[str, Any], words: Sequence[str]) -> "Routing | None":
    """How rows are divided between judges, where a budget for that is given."""
    if own["route.budget"] is None:
        if alone := [word for word in words if word.lstrip("-").startswith("route.")]:
            raise ConfigError(
                f"{alone[0]} divides rows between two judges: give route.budget=, a share of the rows"
            )
        return None
    if own["budget"] is not None:
        raise ConfigError("budget and route.budget both bound how many rows are asked: drop one of them")

    from alignlab.judges.routing.prediction import missing_packages
    from alignlab.judges.routing.route import Routing

    if missing := [*missing_packages(own["route.by"])]:
        raise ConfigError("; ".join(missing))
    settings = {name: own[f"route.{name}"] for name in ("budget", "fit", "by", "mixes", "seed")}
    return Routing(tags=tuple(own["route.tags"] or ()), **settings)


def _route(
    examples: "Sequence[Example]", asked: "Sequence[Questions]", labelled: "Sequence[Example]", how: "Routing"
) -> "tuple[list[Example], list[str]]":
    """Divide the rows between two judges; returns them, and what is told of it."""
    from alignlab.judges.routing.route import route

    done = route(examples, asked[0], asked[1], labelled, how)
    lines = [
        f"route: {done.routed} rows went to {asked[0].name} for what they gain, after {done.fitted} at random; on "
        f"mixes that it has not seen the prediction ({how.by}) has R^2 {done.prediction.explained:.2f}"
    ]
    if done.prediction.coefficients is not None:
        order = done.prediction.coefficients.argsort()[::-1]
        some = [f"{done.names[i]} {done.prediction.coefficients[i]:+.3f}" for i in order]
        lines.append(f"gains of features: {', '.join(some)}")
    return done.examples, lines


def _written(examples: "Sequence[Example]", asked: "Sequence[Questions]", out: Path) -> "Account":
    """Write the rows with all verdicts; returns what became of them."""
    from alignlab.judges.annotation import Account, annotated
    from alignlab.runs.folder import write_text

    account = Account()
    said = {one.name: one.verdicts for one in asked}
    rows = [*annotated(examples, said, {one.name: one.kept.identity for one in asked}, account)]
    if not rows:
        reasons = "; ".join(f"{count} lists: {reason}" for (_, reason), count in account.unsaid.items())
        raise DataError(f"out={out}: no row has a verdict ({reasons})")
    write_text(out, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return account


def _require_ours(file: Path) -> None:
    """Raise DataError where the file is there and holds something else than annotated rows."""
    if not file.exists():
        return
    with file.open(encoding="utf-8", errors="replace") as stream:
        first = stream.readline()
    if not (first.startswith('{"id": ') and '"judges": {' in first):
        raise DataError(f"out={file} is there, and holds no annotated rows: name another one, or remove it")


def _lines(account: "Account", asked: "Sequence[Questions]") -> list[str]:
    """What is told of the work: for each judge how much it was asked, and what it could not say."""
    lines = []
    for one in asked:
        unsaid = [f"{count} {reason}" for (who, reason), count in account.unsaid.items() if who == one.name]
        without = f"; without a verdict: {', '.join(unsaid)}" if unsaid else ""
        lines.append(f"{one.name}: {one.kept.asked_anew} lists asked anew in {one.seconds:.1f} s{without}")
    if account.left_out:
        lines.append(f"{account.left_out} responses without a verdict were left out of their lists")
    return lines
