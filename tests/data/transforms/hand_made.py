"""Rows made by hand, and numbers computed apart from alignlab."""

from functools import cache

import numpy as np

from alignlab.data.reading.rows import Drop, Dropped
from alignlab.data.steps import Tokenized
from alignlab.types import Example
from tests.vectors import more


@cache
def vector(name):
    """Inputs and outputs of one method card."""
    return more()[name]


def row(prompt="ask", responses=("good", "bad"), labels=(1.0, 0.0), id="row", **rest):
    """A list of texts."""
    return Example([{"role": "user", "content": prompt}], list(responses), list(labels), id=id, **rest)


def kept(step, example, **options):
    """Whether a row filter keeps the row; it must not change it."""
    try:
        (same,) = step(example, **options)
    except Drop:
        return False
    assert same is example
    return True


def sifted(step, examples, **options):
    """What a filter over all rows keeps; every other row must be dropped with a reason."""
    made = list(step(examples, **options))
    assert [m.id for m in made] == [e.id for e in examples]
    assert all(m.reason for m in made if isinstance(m, Dropped))
    return [m for m in made if not isinstance(m, Dropped)]


def tokenized(examples, logps=None, lengths=None, prompt_lengths=None, products=()):
    """Rows after tokenizing, of one token a response where nothing else is said; unscored without logps."""

    def score():
        assert logps is not None, "no scores were asked for"
        return [np.array(values, dtype=np.float64) for values in logps]

    lengths = lengths or [[1] * len(example.responses) for example in examples]
    return Tokenized(
        examples,
        np.array(prompt_lengths or [1] * len(examples)),
        [np.array(values) for values in lengths],
        score,
        lambda: [np.array(values, dtype=np.float64) for values in products],
    )


def pairs_of(margins, sources=None, ids=None):
    """Pairs whose log-probs are as far apart as said, the chosen response first or second by turns."""
    rows, logps = [], []
    for i, margin in enumerate(margins):
        first = i % 2 == 0
        meta = {"source": sources[i]} if sources else {}
        name = ids[i] if ids else f"r{i}"
        rows.append(row(id=name, labels=(1.0, 0.0) if first else (0.0, 1.0), meta=meta))
        logps.append((margin, 0.0) if first else (0.0, margin))
    return tokenized(rows, logps)
