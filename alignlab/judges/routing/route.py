"""A budget of an expensive annotator, spent on the rows where its verdicts are worth most."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from alignlab.errors import DataError
from alignlab.judges.judge import Judged
from alignlab.judges.questions import Questions
from alignlab.judges.routing.features import Array, row_features
from alignlab.judges.routing.mixes import mixed
from alignlab.judges.routing.prediction import Prediction, chosen_rows, gains, predicted
from alignlab.judges.scores import Score, scores_of
from alignlab.types import Example

LEAST = 10
"""The smallest number of rows, judged by both, that mixes are drawn from."""


@dataclass(frozen=True)
class Routing:
    """How rows are divided between two annotators."""

    budget: float
    """The share of the rows that the expensive one judges, those of the fit among them."""
    fit: float = 0.5
    """The share of the budget that is spent on rows drawn at random, which both judge and the prediction is from."""
    by: str = "linear"
    mixes: int = 500
    tags: tuple[str, ...] = ()
    seed: int = 0


@dataclass(frozen=True)
class Routed:
    """The rows with meta["routed"] (the judge that labels them), and how that came about."""

    examples: list[Example]
    fitted: int
    """The number of rows that the prediction is from."""
    routed: int
    """The number of rows that went to the expensive annotator for what they gain."""
    prediction: Prediction
    names: list[str]
    """The names of the features."""


def route(
    examples: Sequence[Example],
    expensive: Questions,
    cheap: Questions,
    labelled: Sequence[Example],
    how: Routing,
) -> Routed:
    """Ask the cheap annotator about all rows, and the expensive one about as many as the budget has.

    Part of the budget goes to rows drawn at random, the rest to those that gain most by what is predicted from these.
    Mixes are scored on the rows `labelled`. Raises DataError where the budget is too small to predict from.
    """
    places = cheap.places
    budget = int(how.budget * len(places))
    fit = int(how.fit * budget)
    if fit < LEAST:
        raise DataError(
            f"route.budget={how.budget:g} of {len(places)} rows, and route.fit={how.fit:g} of that, are {fit} rows to "
            f"predict from, and at least {LEAST} are needed: give more rows, or raise one of them"
        )
    names, features = row_features([examples[place] for place in places], how.tags)
    order = np.random.default_rng(how.seed).permutation(len(places))
    drawn, others = sorted(order[:fit].tolist()), sorted(order[fit:].tolist())
    cheap.ask(places)
    expensive.ask([places[i] for i in drawn])
    prediction = predicted(
        mixed(
            [examples[places[i]] for i in drawn],
            features[drawn],
            [_scores(expensive.verdicts[places[i]]) for i in drawn],
            [_scores(cheap.verdicts[places[i]]) for i in drawn],
            labelled,
            mixes=how.mixes,
            seed=how.seed,
        ),
        how.by,
        seed=how.seed,
    )
    best = chosen_rows(prediction, features[others], budget - fit, mixes=how.mixes, seed=how.seed)
    chosen = [others[i] for i in best]
    expensive.ask([places[i] for i in chosen])
    rows = _told(examples, places, {*drawn, *chosen}, features, prediction, (expensive.name, cheap.name))
    return Routed(rows, fit, len(chosen), prediction, names)


def _scores(judged: Judged | None) -> tuple[Score, ...] | None:
    return None if judged is None else scores_of(judged)


def _told(
    examples: Sequence[Example],
    places: Sequence[int],
    went: set[int],
    features: Array,
    prediction: Prediction,
    judges: tuple[str, str],
) -> list[Example]:
    """The rows with the judge that labels each, and where the prediction is linear what its routing gains."""
    rows = [*examples]
    added = None if prediction.coefficients is None else gains(prediction.coefficients, features)
    for i, place in enumerate(places):
        meta = {**rows[place].meta, "routed": judges[0] if i in went else judges[1]}
        if added is not None:
            meta["gain"] = round(float(added[i]), 6)
        rows[place] = replace(rows[place], meta=meta)
    return rows
