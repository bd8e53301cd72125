"""Random mixes of the verdicts of two annotators, and how good a reward model each of them makes."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from alignlab.data.transforms.texts import written
from alignlab.errors import DataError
from alignlab.judges.routing.features import Array
from alignlab.judges.scores import Score
from alignlab.types import Example

Scores = Sequence[Sequence[Score] | None]
"""For each row what an annotator says of its responses; None where it said nothing."""
WIDTH = 256
"""The number of features of words that the reward model of a mix reads."""


@dataclass(frozen=True)
class Mixes:
    """Mixes of verdicts on the same rows, with the scores of their reward models."""

    shares: Array
    """The share of all rows that have a feature and went to the expensive annotator, `[mixes, F]`."""
    scores: Array
    """The share of pairs with labels that the reward model of the mix ranks as these do, `[mixes]`."""


def mixed(
    examples: Sequence[Example],
    features: Array,
    expensive: Scores,
    cheap: Scores,
    labelled: Sequence[Example],
    *,
    mixes: int,
    seed: int,
) -> Mixes:
    """Draw mixes of any budget of rows that both annotators judged, and score each.

    Raises DataError where the rows `labelled` have no two different labels to score by.
    """
    went = random_mixes(len(examples), mixes, np.random.default_rng(seed))
    scores = mix_scores(went, examples, expensive, cheap, labelled)
    return Mixes(went @ features / len(examples), scores)


def random_mixes(rows: int, mixes: int, draw: np.random.Generator) -> Array:
    """Return which rows go to the expensive annotator in each mix, `[mixes, rows]`: from one to all of them."""
    sizes = draw.integers(1, rows + 1, mixes)
    ranks = draw.random((mixes, rows)).argsort(1).argsort(1)
    went: Array = ranks < sizes[:, None]
    return went


def mix_scores(
    went: Array, examples: Sequence[Example], expensive: Scores, cheap: Scores, labelled: Sequence[Example]
) -> Array:
    """Return the scores of mixes `[mixes]`, in which these rows went to the expensive annotator, `[mixes, rows]`.

    The reward model of a mix is a ridge regression of who wins on how the words of two responses differ. Its score is
    the share of pairs with different labels, of the rows `labelled`, that it ranks as they do.
    """
    from sklearn.linear_model import Ridge  # where it is used alone: it is an extra, and heavy

    truth = _winners([example.labels for example in labelled], labelled)
    if not truth.any():
        raise DataError(
            "route: mixes are scored by the labels of the other split, and no row of it has two that differ: raise "
            "data.validation_fraction, or bring rows with labels"
        )
    rows, differences = _compared(examples)
    _, tests = _compared(labelled)
    wins = np.where(went[:, rows], _winners(expensive, examples), _winners(cheap, examples))  # [mixes, pairs]
    weights = Ridge(fit_intercept=False).fit(differences, wins.T).coef_.reshape(len(went), -1)
    ranked = np.sign(weights @ tests[truth != 0].T)
    scores: Array = ((ranked * truth[truth != 0] + 1) / 2).mean(1)
    return scores


def _compared(examples: Sequence[Example]) -> tuple[Array, Array]:
    """Of every two responses of a list the number of the list, `[P]`, and how their words differ, `[P, WIDTH + 1]`."""
    from sklearn.feature_extraction.text import HashingVectorizer

    texts = [written(response) for example in examples for response in example.responses]
    words = HashingVectorizer(n_features=WIDTH).transform(texts).toarray()
    lengths = np.log1p([len(text.split()) for text in texts])[:, None]
    vectors = np.hstack([words, lengths])
    rows, first, second, start = [], [], [], 0
    for number, example in enumerate(examples):
        for i, j in combinations(range(start, start + len(example.responses)), 2):
            rows.append(number)
            first.append(i)
            second.append(j)
        start += len(example.responses)
    return np.array(rows, int), vectors[np.array(first, int)] - vectors[np.array(second, int)]


def _winners(scores: Scores, examples: Sequence[Example]) -> Array:
    """Of every two responses of a list 1 where the first is better, -1 where it is worse, 0 where none is, `[P]`."""
    wins = []
    for example, of_list in zip(examples, scores, strict=True):
        values = of_list or [None] * len(example.responses)
        wins += [0 if a is None or b is None else (a > b) - (a < b) for a, b in combinations(values, 2)]
    return np.array(wins, int)
