"""Tells prompts of desirable data from those of undesirable data, for the density ratios of BCO, arXiv:2404.04656."""

from collections.abc import Sequence

import numpy as np

from alignlab.data.steps import Array, DesirableProbs, Selection, Tokenized
from alignlab.data.transforms.limit import kept
from alignlab.errors import DataError
from alignlab.settings import Positive, Seed
from alignlab.types import Example

KEY = "pipeline.desirable_probs"


def desirable_probs(tokenized: Tokenized, *, rows: Positive = 1024, seed: Seed = 0) -> DesirableProbs:
    """Keep all rows, and give each response the probability that its prompt is one of the desirable data.

    The probability is that of a logistic regression on the mean of a prompt's final hidden states under the model
    that the run begins with. It is fitted on training rows, at most `rows` of each class, drawn by a hash of `seed`
    and their ids; a row is desirable, undesirable, or both, as its responses are. `objective=bco` with
    `objective.loss.udm=true` weighs undesirable responses by the odds p / (1 - p), which are the ratio of the two
    densities of prompts.

    Raises DataError where one class has no training row, or responses of a list have a prompt each.
    """
    training = (tokenized.training or tokenized).examples
    for example in (*training, *tokenized.examples):
        if "prompts" in example.meta:
            raise DataError(
                f"row {example.id}: its responses have a prompt each: {KEY} takes rows of one prompt"
            )
    sides = np.array([sides_of(example) for example in training]).reshape(-1, 2)
    fitted_on = [drawn(training, np.flatnonzero(side), rows, seed) for side in sides.T]
    for places, name in zip(fitted_on, ("desirable", "undesirable"), strict=True):
        if not len(places):
            raise DataError(
                f"{KEY}: no training row is {name}, so that there is nothing to tell apart: use "
                "pipeline=[unpaired,desirable_probs], or data with both classes"
            )
    probabilities = tokenized.classify(
        np.concatenate(fitted_on), np.repeat([True, False], [*map(len, fitted_on)])
    )
    values = [
        np.full(len(sizes), value) for sizes, value in zip(tokenized.lengths, probabilities, strict=True)
    ]
    return Selection(range(len(tokenized)), signals={"desirable_probs": values})


def sides_of(example: Example) -> tuple[bool, bool]:
    """Whether a row has a desirable response, and an undesirable one: above the middle of its labels, or not.

    >>> sides_of(Example([], ["a"], [0.9])), sides_of(Example([], ["a", "b"], [0.9, 0.8]))
    ((True, False), (True, True))
    """
    best, worst = max(example.labels), min(example.labels)
    return (True, True) if best > worst else (best > 0.5, best <= 0.5)


def drawn(examples: Sequence[Example], places: Array, most: int, seed: int) -> Array:
    """At most so many of the rows at these places, drawn as a limit draws them."""
    return places[[*kept([examples[place].id for place in places.tolist()], most, seed=seed)]]
