"""Rows between two annotators: gains that add up, and a budget that is spent where it serves."""

import json
import random
from importlib.util import find_spec

import numpy as np
import pytest

from alignlab.errors import DataError
from alignlab.judges.annotation import asked_of
from alignlab.judges.judge import Judged
from alignlab.judges.questions import Questions
from alignlab.judges.routing.features import row_features
from alignlab.judges.routing.mixes import Mixes, mix_scores
from alignlab.judges.routing.prediction import Prediction, chosen_rows, gains, missing_packages, predicted
from alignlab.judges.routing.route import Routing, route
from alignlab.types import Example
from tests.repository import ROOT

GOOD, BAD = ["kind", "clear", "true", "apt", "brave"], ["rude", "vague", "false", "odd", "timid"]
FILL = ["fox", "owl", "river", "hill", "den", "leaf"]


def rows(count, seed):
    """Pairs on two subjects with the better response at either place, in words that tell it."""
    draw = random.Random(seed)
    made = []
    for number in range(count):
        labels = draw.sample([1.0, 0.0], 2)
        texts = [" ".join(draw.sample(GOOD if label else BAD, 2) + draw.sample(FILL, 3)) for label in labels]
        subject = draw.choice(["law", "art"])
        made.append(
            Example(
                [{"role": "user", "content": "Why?"}],
                texts,
                labels,
                id=f"{seed}/{number}",
                meta={"subject": subject},
            )
        )
    return made


ROWS, TESTS = rows(240, 0), rows(80, 1)
TRUTH = {row.id: row.labels for row in ROWS}


class Simulated:
    """An annotator who is right, but of one subject says the contrary."""

    def __init__(self, wrong=None):
        self.wrong, self.asked = wrong, []

    @property
    def identity(self):
        return f"simulated, wrong on {self.wrong}"

    def __call__(self, asked):
        self.asked += [one.id for one in asked]
        signs = [-1 if one.meta["subject"] == self.wrong else 1 for one in asked]
        return [
            Judged(rewards=tuple(sign * label for label in TRUTH[one.id]))
            for sign, one in zip(signs, asked, strict=True)
        ]


def divided(tmp_path, **settings):
    expensive, cheap = Simulated(), Simulated("law")
    questions = [asked_of(row) for row in ROWS]
    asked = [
        Questions(name, judge, questions, tmp_path, at_once=32)
        for name, judge in (("people", expensive), ("model", cheap))
    ]
    how = Routing(**{"budget": 0.25, "fit": 0.5, "mixes": 200, "tags": ("subject",), **settings})
    return route(ROWS, *asked, TESTS, how), asked, (expensive, cheap)


def test_gains_are_those_of_the_vectors():
    case = json.loads((ROOT / "tests/vectors/vectors_b.json").read_text())["A16_hybrid_routing"]
    names = [*case["inputs"]["coef"]]
    coefficients = np.array([case["inputs"]["coef"][name] for name in names])
    features = np.array([[row[name] for name in names] for row in case["inputs"]["features"]], float)
    gain = gains(coefficients, features)
    assert gain == pytest.approx(case["outputs"]["gain"])
    best = chosen_rows(
        Prediction(None, 1.0, coefficients), features, case["inputs"]["budget"], mixes=1, seed=0
    )
    assert best == case["outputs"]["to_human"]
    assert gain[best].sum() == pytest.approx(case["outputs"]["predicted_delta"])


def test_the_gains_of_a_linear_prediction_add_up():
    draw = np.random.default_rng(0)
    features = (draw.random((30, 4)) < 0.5).astype(float)
    went = draw.random((60, 30)) < draw.random((60, 1))
    prediction = predicted(Mixes(went @ features / 30, draw.random(60)), "linear", seed=0)
    gain = gains(prediction.coefficients, features)
    change = prediction(went @ features / 30) - prediction(np.zeros((1, 4)))
    assert change == pytest.approx(went @ gain / 30)


@pytest.mark.skipif(find_spec("lightgbm") is None, reason="lightgbm is not installed")
def test_trees_predict_mixes_that_they_were_not_fitted_to():
    shares = np.random.default_rng(0).random((300, 3))
    assert predicted(Mixes(shares, shares[:, 0]), "lightgbm", seed=0).explained > 0.5


@pytest.mark.parametrize("by", ["linear", "quadratic"])
def test_a_budget_that_is_routed_serves_more_than_one_spent_at_random(tmp_path, by):
    done, asked, (expensive, cheap) = divided(tmp_path, by=by)
    assert (done.fitted, done.routed) == (30, 30)
    assert len({*expensive.asked}) == len(expensive.asked) == 60
    assert len(cheap.asked) == len(ROWS)
    went = np.array([row.meta["routed"] == "people" for row in done.examples])
    assert [row.id for row, is_there in zip(ROWS, went, strict=True) if is_there] == sorted(
        expensive.asked, key=lambda name: int(name.split("/")[1])
    )
    draw = np.random.default_rng(1)
    at_random = [np.isin(np.arange(240), draw.permutation(240)[:60]) for _ in range(30)]
    model = [judged.rewards for judged in asked[1].verdicts]
    scores = mix_scores(np.array([went, *at_random]), ROWS, [row.labels for row in ROWS], model, TESTS)
    assert scores[0] > scores[1:].mean() + 0.03
    if by == "linear":
        gain = dict(zip(done.names, done.prediction.coefficients, strict=True))
        assert gain["subject: law"] > gain["subject: art"]


def test_a_budget_too_small_to_predict_from_and_a_tag_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="are 6 rows to predict from, and at least 10 are needed"):
        divided(tmp_path, budget=0.05)
    with pytest.raises(DataError, match=r"no row has meta.subjects: did you mean 'subject'\?"):
        row_features(ROWS, ["subjects"])


@pytest.mark.skipif(find_spec("lightgbm") is not None, reason="lightgbm is installed")
def test_what_is_not_installed_is_told():
    assert [*missing_packages("linear")] == []
    (missing,) = missing_packages("lightgbm")
    assert missing.startswith(
        "route.by=lightgbm needs lightgbm, which is not installed: pip install lightgbm"
    )
