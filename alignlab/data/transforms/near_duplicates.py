"""Drops rows that nearly repeat an earlier one: MinHash finds candidates, which are compared shingle by shingle."""

import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import islice
from typing import Annotated

import numpy as np

from alignlab.data.reading.rows import Dropped
from alignlab.data.steps import Array
from alignlab.data.transforms.texts import prompts, text, words
from alignlab.errors import one_of
from alignlab.settings import PositiveShare, Seed, whole
from alignlab.types import Example

RECALL = 0.99
"""The chance that a pair of rows at the threshold is compared at all."""
CHUNK = 4096


def filter_near_duplicates(
    examples: Sequence[Example],
    *,
    by: str = "prompt",
    threshold: PositiveShare = 0.8,
    n: Annotated[int, whole(1, 1000)] = 3,
    permutations: Annotated[int, whole(1, 4096)] = 64,
    seed: Seed = 0,
) -> Iterator[Example | Dropped]:
    """Drop rows that have a Jaccard index of at least `threshold` with an earlier row that was kept.

    The index is over shingles, runs of `n` words without case and punctuation: those in common over those
    in either. `by` compares the prompt, or the whole `row` with its responses. MinHash (Broder, 1997)
    proposes candidates, the index itself decides; 99 of 100 pairs at the threshold are found, and more of
    closer ones. The result depends on the order of the rows. The memory is 8 bytes a row for each band of hashes,
    96 bytes at the defaults; the step is slow where very many rows are just not alike enough.
    """
    key = "pipeline.filter_near_duplicates"
    one_of(f"{key}.by", by, ("prompt", "row"))

    @lru_cache(maxsize=CHUNK)
    def shingles_of(row: int) -> Array:
        return shingles(_compared(examples[row], by), n)

    width = band_width(threshold, permutations)
    draws = np.random.default_rng(seed).integers(2**64, size=(2, permutations), dtype=np.uint64)
    hashes = (minhash(shingles(_compared(example, by), n), draws) for example in examples)
    buckets = _buckets(hashes, len(examples), width, permutations // width)
    kept_rows: dict[int, list[int]] = defaultdict(list)
    for row, example in enumerate(examples):
        shared = [bucket for bucket in buckets[row].tolist() if bucket >= 0]
        alike = {other for bucket in shared for other in kept_rows[bucket]}
        if any(jaccard(shingles_of(row), shingles_of(other)) >= threshold for other in alike):
            yield Dropped(example.id, f"near duplicate of an earlier row, by {by}")
            continue
        for bucket in shared:
            kept_rows[bucket].append(row)
        yield example


def shingles(content: str, n: int) -> Array:
    """The distinct 64-bit hashes of the runs of `n` words of a text; of all its words where it is shorter."""
    hashes = np.array([zlib.crc32(w.encode()) for w in words(content) or [content.strip()]], dtype=np.uint64)
    runs = max(1, len(hashes) - n + 1)
    mixed = np.zeros(runs, dtype=np.uint64)
    for place in range(min(n, len(hashes))):
        mixed = _mix(mixed + hashes[place : place + runs])
    return np.unique(mixed)


def jaccard(some: Array, others: Array) -> float:
    """The Jaccard index of two arrays of distinct values: values in both over values in either; one value at least."""
    common = len(np.intersect1d(some, others, assume_unique=True))
    return common / (len(some) + len(others) - common)


def minhash(values: Array, draws: Array) -> Array:
    """The MinHash signature of 64-bit values: their least 32-bit image under each random map, `[permutations]`.

    Two sets agree in each place with a chance of their Jaccard index. `draws` `[2, permutations]` are scales and
    shifts of the maps.
    """
    scale, shift = draws[0] | np.uint64(1), draws[1]
    parts = [values[i : i + CHUNK, None] * scale + shift for i in range(0, len(values), CHUNK)]
    return np.minimum.reduce([part.min(axis=0) for part in parts]) >> np.uint64(32)


def band_width(threshold: float, permutations: int) -> int:
    """The most hashes in a band that leave pairs at the threshold a chance of `RECALL` to agree in some band."""
    widths = (
        w for w in range(permutations, 1, -1) if 1 - (1 - threshold**w) ** (permutations // w) >= RECALL
    )
    return next(widths, 1)


def _buckets(signatures: Iterable[Array], rows: int, width: int, bands: int) -> Array:
    """The bucket number of each row in each band, `[rows, bands]`; -1 where the row is alone in its bucket."""
    keys = np.zeros((rows, bands), dtype=np.uint64)
    rest = iter(signatures)
    for start in range(0, rows, CHUNK):
        part = np.stack(list(islice(rest, CHUNK)))
        for place in range(width):
            keys[start : start + CHUNK] = _mix(
                keys[start : start + CHUNK] + part[:, place : width * bands : width]
            )
    numbers, first = keys.view(np.int64), 0
    for band in range(bands):
        _, bucket, sizes = np.unique(keys[:, band], return_inverse=True, return_counts=True)
        numbers[:, band] = np.where(sizes[bucket] > 1, bucket + first, -1)
        first += len(sizes)
    return numbers


def _mix(values: Array) -> Array:
    """A one-to-one map of 64-bit numbers under which near ones end up far apart (splitmix64's)."""
    values = (values + np.uint64(0x9E3779B97F4A7C15)) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(29))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(32))


def _compared(example: Example, by: str) -> str:
    turns = [*prompts(example), *(example.responses if by == "row" else [])]
    return "\n".join(map(text, turns))
