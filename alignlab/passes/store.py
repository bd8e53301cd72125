"""The store of what a model gave for lists of responses, kept on disk under the key of each list's tokens."""

import hashlib
import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alignlab.cache import aside, problem
from alignlab.data.encoding.token_rows import KEY, ranges

log = logging.getLogger(__name__)

Array = NDArray[Any]
SHARD, PARTIAL = "*.shard", "*.shard.partial"
COLUMNS = ("keys", "sizes", "values")


@dataclass(frozen=True)
class Vectors:
    """A vector of float64 for each of some lists, one after the other in `values`."""

    keys: Array
    """The keys of the lists `[lists]`."""
    sizes: Array
    """The length of each vector `[lists]`."""
    values: Array

    @classmethod
    def of(cls, keys: Array, vectors: Sequence[Array]) -> "Vectors":
        """Return these vectors under these keys."""
        sizes = np.array([len(vector) for vector in vectors], dtype=np.int64)
        return cls(keys, sizes, np.concatenate([np.zeros(0), *vectors]))

    @classmethod
    def joined(cls, parts: Sequence["Vectors"]) -> "Vectors":
        """Return the vectors of all parts, those of a list that is in several parts once."""
        if not parts:
            return cls.of(np.zeros(0, dtype=KEY), [])
        whole = cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in COLUMNS))
        _, first = np.unique(whole.keys, return_index=True)
        first.sort()
        return cls(whole.keys[first], whole.sizes[first], whole.values[whole._places(first)])

    def look_up(self, keys: Array, sizes: Array) -> Array:
        """Return the vectors of these lists, of these lengths, one after the other; NaN where there is none."""
        wanted = np.full(int(sizes.sum()), np.nan)
        if not len(self.keys):
            return wanted
        order = np.argsort(self.keys)
        place = order[np.searchsorted(self.keys, keys, sorter=order).clip(max=len(order) - 1)]
        is_here = (self.keys[place] == keys) & (self.sizes[place] == sizes)
        targets = ranges((np.cumsum(sizes) - sizes)[is_here], sizes[is_here])
        wanted[targets] = self.values[self._places(place[is_here])]
        return wanted

    def _places(self, numbers: Array) -> Array:
        """Return the places in `values` of the vectors with these numbers, one after the other."""
        return ranges((np.cumsum(self.sizes) - self.sizes)[numbers], self.sizes[numbers])


class Store:
    """Vectors in a folder, in shards that appear whole or not at all, and are hashed before they are believed.

    Reading takes no lock and no write, so the folder may be read-only. Who adds to it holds its lock.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self) -> Vectors:
        """Return the vectors of all whole shards; one that is damaged, or vanishes just now, counts as absent."""
        parts = (_opened(shard) for shard in self._shards() if problem(shard) is None)
        return Vectors.joined([part for part in parts if part is not None])

    def mend(self) -> None:
        """Remove damaged shards, with a warning each, and what a killed job left. The lock is held."""
        for shard in self._shards():
            if trouble := problem(shard):
                log.warning("%s is damaged (%s): what was in it is made again", shard, trouble)
                _remove(shard)
        for partial in self.folder.glob(PARTIAL):
            _remove(partial)

    def add(self, vectors: Vectors) -> None:
        """Write vectors as a shard of their own. The lock is held."""
        with aside(self._place(vectors)) as partial:
            partial.mkdir(parents=True)
            for name in COLUMNS:
                np.save(partial / f"{name}.npy", getattr(vectors, name))

    def join(self) -> None:
        """Bring all shards into one, which is there before the others go. The lock is held."""
        if len(shards := self._shards()) < 2:
            return
        whole = self.read()
        self.add(whole)
        for shard in shards:
            if shard != self._place(whole):
                _remove(shard)

    def _shards(self) -> list[Path]:
        return sorted(self.folder.glob(SHARD))

    def _place(self, vectors: Vectors) -> Path:
        return self.folder / f"{hashlib.sha256(vectors.keys.tobytes()).hexdigest()}.shard"


def _opened(shard: Path) -> Vectors | None:
    try:
        return Vectors(*(np.load(shard / f"{name}.npy") for name in COLUMNS))
    except (OSError, ValueError, EOFError):
        return None


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
