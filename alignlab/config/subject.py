"""The model under evaluation: what a suite asks of it, done by opening stages from override strings."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from alignlab.analysis.examined import examine, scored
from alignlab.analysis.scored import Scored
from alignlab.config.stage_of import stage_to_score
from alignlab.console import quiet
from alignlab.data.reading.examples import Report
from alignlab.data.transforms.texts import text as text_of
from alignlab.errors import DataError
from alignlab.evaluation.suite import Require, Result, ScoredList
from alignlab.report.suite import left_out
from alignlab.runs.folder import RunFolder
from alignlab.runs.overrides import key_of
from alignlab.training.opened import read
from alignlab.training.spec import LoadModel, Stage
from alignlab.types import Example


class StageSubject:
    """A model of override strings, or of a run, whose rows are scored by `training/opened`.

    What it read and left out is on `report`, and `against` names the reference of its implicit rewards; both are those
    of the last call.
    """

    def __init__(self, overrides: Sequence[str], run: RunFolder | None, split: str = "validation") -> None:
        self.overrides, self.run, self.split = overrides, run, split
        self.report, self.against, self.unit = Report(), "", ""
        self._loaded: dict[str, LoadModel] = {}

    def scored(self, overrides: Sequence[str] = (), require: Require | None = None) -> list[ScoredList]:
        """Return all rows that these overrides choose, then those typed; best responses first, each with its score.

        Raises DataError where no row is left, and for a row of one response, before a model is loaded.
        """
        typed = {key_of(text) for text in self.overrides}
        own = [text for text in overrides if key_of(text) not in typed]
        stage = self._once(stage_to_score([*own, *self.overrides], self.run))
        with quiet():
            table = getattr(read(stage), self.split)
        if len(lone := (table.sizes < 2).nonzero()[0]):
            raise DataError(
                f"row {table.ids[int(lone[0])]} has one response: a suite compares the scores of two or more"
            )
        if require is not None:
            require(table)
        examined = examine(stage, self.split)
        rows = scored(examined)
        self.report, self.unit = examined.opened.report, rows.reward.unit
        self.against = stage.reference.name if examined.reference is not None else ""
        places = [int(place) for place in examined.rows.places]
        return [_list(rows, index, examined.rows.examples[place]) for index, place in enumerate(places)]

    def noted(self, result: Result) -> Result:
        """Return the result with notes on the rows that were left out, and on what the scores are."""
        notes = [*result.notes, *left_out(self.report.dropped)]
        if self.unit == "nats" and not self.against:
            notes.append(
                "The scores are log-probabilities alone: reference.path= gives a reference to take them against."
            )
        return replace(result, notes=notes)

    def _once(self, stage: Stage) -> Stage:
        """Return the stage with loaders that load each model once, however often rows are scored."""
        policy = self._loaded.setdefault("policy", _kept(stage.load_model))
        reference = self._loaded.setdefault("reference", _kept(stage.reference.load))
        return replace(stage, load_model=policy, reference=replace(stage.reference, load=reference))


def _kept(load: LoadModel) -> Callable[[], tuple[Any, Any]]:
    return cache(lambda: load())


def _list(rows: Scored, index: int, example: Example) -> ScoredList:
    """Return a row with its scores, the best response first; of equal labels the first."""
    where = rows.where[index]
    scores, labels = (values[index][where].tolist() for values in (rows.rewards, rows.labels))
    order = sorted(range(len(labels)), key=lambda place: -labels[place])
    return ScoredList(
        id=example.id,
        prompt=example.prompt,
        responses=[text_of(example.responses[place]) for place in order],
        labels=[labels[place] for place in order],
        scores=[scores[place] for place in order],
        meta=example.meta,
    )
