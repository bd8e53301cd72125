"""A model against a suite: a table with intervals, a picture, a json, and a page with the worst mistakes.

alignlab evaluate suite=rewardbench model=/my/reward-model data.path=/data/reward-bench
alignlab evaluate suite=rewardbench2 run=outputs/dpo-lab/2026-11-21_11-42-54 data.path=rb2.parquet
alignlab evaluate suite=order_sensitivity model=/my/model reference.path=/my/start data=hh_rlhf data.path=/my/copy
alignlab evaluate suite=context_reversal run=<run> out=reversed

    suite=NAME          rewardbench, rewardbench2, rag_rewardbench: the released files of these benchmarks
                        order_sensitivity: any data; a response against its own words in another order
                        context_reversal: any data rated by aspects, or data=rpr; two responses under criteria
                        that prefer opposite ones
                        judge: judges against the labels of any data: judge=[a,b] (docs/judges.md)
                        package.module: a suite of your own, a function `run` from a subject to a result
    model=FOLDER        a reward, preference or user model, which scores by its head; or a language model, by its
                        implicit rewards: log-ratios to reference.path=, log-probabilities without
    run=FOLDER          the trained model of a run, against the reference that it was trained against
    split=validation    or train: which rows of data with splits
    out=FOLDER          of the result; evaluation/<suite> in the run folder, or below outputs/evaluation
    trust=[PACKAGE]     packages of yours that the config of the run may name

Takes the overrides of train. Scores are kept in the cache by content: a pass that was cut short goes on where it stood.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from alignlab.errors import ConfigError, nearest
from alignlab.places import PACKAGE
from alignlab.runs.overrides import key_of
from alignlab.verbs.words import Words, choice, output, path, read, text, trust

SPLITS = ("validation", "train")
KEYS = {
    "suite": text(),
    "run": path(),
    "split": choice("validation", SPLITS),
    "out": output(),
    "trust": trust(),
}


def run(words: Sequence[str]) -> None:
    """Evaluate the model that the words name, print the table, and write the result."""
    typed = read(words, KEYS, overrides=True)
    own, suite = typed.own, _target(typed.own.suite)
    chosen = {key_of(one): one.partition("=")[2] for one in typed.overrides}
    if own.run is not None and "model" in chosen:
        raise ConfigError("run= names a trained model, and model= another: leave one of them out")
    out = own.out or _place(own, chosen)

    from alignlab.config.judging import StageJudges
    from alignlab.config.stage_of import trained_run
    from alignlab.config.subject import StageSubject
    from alignlab.console import print_table
    from alignlab.report.suite import HEADER, require_place, table, write_result
    from alignlab.targets import locate

    require_place(out)
    function = locate(suite, "suite")
    trained = None if own.run is None else trained_run(own.run, own.trust)
    kind: Any = StageJudges if own.suite == "judge" else StageSubject
    subject = kind(typed.overrides, trained, own.split)
    result = subject.noted(function(subject))
    write_result(result, _facts(typed, chosen, subject), out)
    print_table(result.title, HEADER, table(result))
    for note in result.notes:
        print(note)
    print(f"written: {out} (report.html, result.json, result.png, scores.jsonl)")


def suites() -> list[str]:
    """The names of the suites, a file each."""
    files = (PACKAGE / "evaluation" / "suites").glob("*.py")
    return sorted(file.stem for file in files if file.stem != "__init__")


def _target(suite: str | None) -> str:
    """The dotted path of a suite's function; ConfigError for a name that is none."""
    known = suites()
    if suite is None:
        raise ConfigError(f"suite= is missing: one of {', '.join(known)}")
    if "." in suite:
        return f"{suite}.run"
    if suite not in known:
        raise ConfigError(f"suite={suite}: {nearest(suite, known)} (of: {', '.join(known)})")
    return f"alignlab.evaluation.suites.{suite}.run"


def _place(own: Any, chosen: dict[str, str]) -> Path:
    """The folder of the result where none is named: in that of the run, or named after the model."""
    if own.run is not None:
        return Path(own.run) / "evaluation" / str(own.suite)
    if own.suite == "judge":
        judges = chosen.get("judge", "").strip("[]").replace(",", "-")
        return Path("outputs") / "evaluation" / f"judge-{judges}"
    model = Path(chosen.get("model.path") or chosen.get("model") or "model").expanduser()
    name = model.resolve().parent.name if model.name == "model" else model.name
    return Path("outputs") / "evaluation" / f"{own.suite}-{name}"


def _facts(typed: Words, chosen: dict[str, str], subject: Any) -> dict[str, Any]:
    """What was evaluated, on what."""
    model = str(typed.own.run or chosen.get("judge") or chosen.get("model.path") or chosen.get("model") or "")
    return {
        "suite": typed.own.suite,
        "model": model,
        "against": subject.against,
        "scores": subject.unit,
        "overrides": typed.overrides,
        "rows": subject.report.to_json()["steps"],
    }
