"""Judges under evaluation, on the rows of a stage; and the models of a run for judges that read them."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from alignlab.config.judges import judges_of, without_judges
from alignlab.config.stage_of import stage_to_score
from alignlab.console import quiet, tracked
from alignlab.data.reading.examples import Report
from alignlab.errors import ConfigError
from alignlab.evaluation.suite import Result
from alignlab.evaluation.suites.judge import JudgedList
from alignlab.judges.annotation import asked_of
from alignlab.judges.judge import Asked, Judge, Judged
from alignlab.judges.kept import Kept
from alignlab.judges.several import bind_all, wanted_by
from alignlab.policies.load import LoadedPolicy
from alignlab.report.suite import left_out
from alignlab.runs.folder import RunFolder
from alignlab.training.opened import one_device, read
from alignlab.training.references import frozen
from alignlab.training.spec import Stage


class StageJudges:
    """The judges of override strings, on the rows of the stage that the others make; verdicts are kept."""

    unit, against = "verdicts", ""

    def __init__(self, overrides: Sequence[str], run: RunFolder | None, split: str = "validation") -> None:
        self.judges = judges_of(overrides)
        self.stage, self.split = stage_to_score(without_judges(overrides), run), split
        self.report, self._work = Report(), list[str]()

    @quiet()
    def judged(self) -> Mapping[str, Sequence[JudgedList]]:
        """Return all rows with each judge's verdicts."""
        rows = read(self.stage)
        self.report = rows.report
        examples = [*getattr(rows, self.split)]
        bind(self.judges, self.stage)
        questions = [asked_of(example) for example in examples]
        lists = [one for one in questions if isinstance(one, Asked)]
        said = {}
        for name, judge in self.judges.items():
            kept, began = Kept(judge, self.stage.cache_dir), time.perf_counter()
            with tracked(f"lists judged by {name}", len(lists)) as advance:
                verdicts = iter(kept(lists, advance=advance))
            if kept.asked_anew:
                seconds = (time.perf_counter() - began) / kept.asked_anew
                self._work.append(f"{name}: {seconds:.2f} seconds a list, over {kept.asked_anew} lists.")
            said[name] = [
                JudgedList(
                    example.id,
                    one.responses if isinstance(one, Asked) else (),
                    example.labels,
                    next(verdicts) if isinstance(one, Asked) else Judged(unsaid=one),
                    example.meta,
                )
                for example, one in zip(examples, questions, strict=True)
            ]
        return said

    def notes(self) -> list[str]:
        """Return what the work took."""
        return [*self._work]

    def noted(self, result: Result) -> Result:
        """Return the result with notes on the rows that were left out."""
        return replace(result, notes=[*result.notes, *left_out(self.report.dropped)])


def bind(judges: Mapping[str, Judge], stage: Stage) -> None:
    """Load the models of the stage that judges read; raises ConfigError where there is no reference for one."""
    wanted = wanted_by(judges.values())
    if not wanted:
        return
    if "reference" in wanted and stage.reference.mode == "none":
        raise ConfigError(
            "judge: a reference is wanted, and there is none: give run=, or reference.path=<folder>"
        )
    on = one_device(stage)
    model, tokenizer = stage.load_model()
    policy = on.convert(stage.make_policy(model).eval()).to(on.device)
    reference = None
    if "reference" in wanted:
        reference = LoadedPolicy(frozen(stage, stage.reference.load, on, tokenizer), tokenizer)
    bind_all(judges.values(), LoadedPolicy(policy, tokenizer), reference)
