"""Orders the training rows by a number that is known of each."""

import hashlib

import numpy as np

from alignlab.data.steps import Array, Selection, Tokenized
from alignlab.data.transforms.margins import margin, reference_margins
from alignlab.errors import one_of
from alignlab.settings import Seed

KEYS = ("gap", "reward_gap", "length", "reference_margin", "difficulty", "random")


def order_by(tokenized: Tokenized, *, by: str = "gap", descending: bool = True, seed: Seed = 0) -> Selection:
    """Keep all rows, ordered by a number, and rows of equal numbers by id; training follows the order.

    gap: label of the best response minus that of the worst; reward_gap: the absolute gap of their raw
    scores; length: tokens of the prompt and all responses; reference_margin: log p(best) - log p(worst) in
    nats under the model that the run begins with; difficulty: its negative (arXiv:2405.19534); random:
    a draw from `seed` and the row's id.

    Raises DataError where a row lacks rewards, or a worse response.
    """
    values = _values(tokenized, one_of("pipeline.order_by.by", by, KEYS), seed)
    values = -values if descending else values
    ids = [example.id for example in tokenized.examples]
    return Selection(sorted(range(len(ids)), key=lambda row: (values[row], ids[row])), ordered=True)


def draw(seed: int, row_id: str) -> float:
    """A number in [0, 1) drawn from the seed and the id alone, so that an order does not depend on other rows."""
    return int.from_bytes(hashlib.blake2b(f"{seed}/{row_id}".encode(), digest_size=6).digest(), "big") / 2**48


def _values(tokenized: Tokenized, by: str, seed: int) -> Array:
    if by == "reference_margin":
        return reference_margins(tokenized)
    if by == "difficulty":
        return -reference_margins(tokenized)
    if by == "length":
        return tokenized.prompt_lengths + np.array([int(lengths.sum()) for lengths in tokenized.lengths])
    if by == "random":
        return np.array([draw(seed, example.id) for example in tokenized.examples])
    scale = "rewards" if by == "reward_gap" else "labels"
    return np.array([abs(margin(e, scale, "pipeline.order_by.by=gap")) for e in tokenized.examples])
