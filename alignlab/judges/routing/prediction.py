"""What a mix of verdicts is worth, predicted from the features of the rows that went to the expensive annotator."""

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from alignlab.judges.routing.features import Array
from alignlab.judges.routing.mixes import Mixes

PACKAGES = {
    "sklearn": "pip install 'alignlab[udm]'",
    "lightgbm": "pip install lightgbm, or use route.by=linear",
}
HELD_OUT = 0.2
"""The share of the mixes that the prediction is tried on."""


@dataclass(frozen=True)
class Prediction:
    """The score of a mix as a function of its shares."""

    model: Any
    explained: float
    """R^2 on the mixes that it was not fitted to: 1 is a perfect prediction, 0 is no better than their mean."""
    coefficients: Array | None = None
    """What each feature adds to the score, `[F]`, where the prediction is linear; else None."""

    def __call__(self, shares: Array) -> Array:
        """Return the predicted scores, `[mixes]`."""
        scores: Array = self.model.predict(shares)
        return scores


def missing_packages(by: str) -> Iterator[str]:
    """Yield what has to be installed for such a prediction, and is not."""
    for package in ("sklearn", *(["lightgbm"] if by == "lightgbm" else [])):
        if importlib.util.find_spec(package) is None:
            yield f"route.by={by} needs {package}, which is not installed: {PACKAGES[package]}"


def predicted(drawn: Mixes, by: str, *, seed: int) -> Prediction:
    """Return the prediction, fitted to four fifths of the mixes: least squares, its quadratic form, or trees."""
    from sklearn.linear_model import LinearRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import PolynomialFeatures

    model: Any = LinearRegression()
    if by == "quadratic":
        model = make_pipeline(PolynomialFeatures(2, include_bias=False), Ridge(0.01))
    elif by == "lightgbm":
        from lightgbm import LGBMRegressor

        model = LGBMRegressor(num_leaves=7, random_state=seed, verbose=-1)
    cut = int(len(drawn.scores) * (1 - HELD_OUT))
    model.fit(drawn.shares[:cut], drawn.scores[:cut])
    explained = float(model.score(drawn.shares[cut:], drawn.scores[cut:]))
    return Prediction(model, explained, model.coef_ if by == "linear" else None)


def gains(coefficients: Array, features: Array) -> Array:
    """Return what each row adds if it goes to the expensive annotator, `[rows]`.

    Gains add up: the predicted score of a mix is that of no row routed, and the sum of the gains of those that are
    divided by the number of all rows.
    """
    added: Array = features @ coefficients
    return added


def chosen_rows(prediction: Prediction, features: Array, budget: int, *, mixes: int, seed: int) -> list[int]:
    """Return the places of the `budget` rows that should go to the expensive annotator, in order.

    Where the prediction is linear they are those that gain most, equals at random; else they are the best predicted of
    so many random mixes of that size.
    """
    draw, rows = np.random.default_rng(seed), len(features)
    if prediction.coefficients is not None:
        best = np.lexsort((draw.random(rows), -gains(prediction.coefficients, features)))[:budget]
    else:
        some = [draw.permutation(rows)[:budget] for _ in range(mixes)]
        shares = np.array([features[places].sum(0) for places in some]) / rows
        best = some[int(np.argmax(prediction(shares)))]
    return sorted(best.tolist())
