"""One pass of a frozen model over lists, each scored alone and kept by its content, on all ranks together."""

import hashlib
import json
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from alignlab import ranks
from alignlab.cache import locked
from alignlab.data.batching.batches import collate
from alignlab.data.encoding.token_rows import TokenRows
from alignlab.errors import RunError
from alignlab.passes.store import Array, Store, Vectors
from alignlab.policies.policy import NO_REFERENCES, Policy
from alignlab.policies.weights import weights_hash

CHUNK_ROWS = 256
"""The number of lists that each rank scores between two writes to the disk."""
VERSION = "3"
"""A part of every key; raise it when scoring changes its numbers."""
ORIGIN = ("_name_or_path", "transformers_version", "architectures", "dtype")
"""The keys of a model config that say where the model came from, and change no number."""
USE = ("base_model_name_or_path", "inference_mode")
"""The keys of an adapter's settings that say what it was put on and whether it trains, and change no number."""

Track = Callable[[int], None]
Score = Callable[[int], Array]
"""Gives the vector of the list with this number, from that list alone."""


def by_list(
    policy: Policy,
    rows: TokenRows,
    names: Collection[str],
    sizes: Array,
    score: Score,
    *,
    cache_dir: Path,
    track: Track = lambda rows: None,
    before: Callable[[], None] = lambda: None,
) -> tuple[Array, int]:
    """Return the vectors of all lists one after the other, and how many of the lists the cache had.

    Each list is scored alone, so that its numbers are the same to the last bit whatever else is scored, and in whatever
    order: they are kept under the key of its tokens, in a folder for the model and all else that decides them, `names`
    included. Lists that the folder lacks are scored, those of equal tokens once. Jobs that add to a folder wait for
    each other; a pass that was cut short has kept what it had done. Ranks share the lists, and all must call this.
    `sizes` holds the length of each vector. `before` is called on every rank before lists are scored, if some are.

    Raises RunError for a number that is not finite, and for a list that was left out.
    """
    store = Store(cache_dir / "scores" / model_key(policy, names))
    values = _from(store, rows, sizes)
    in_cache = len(rows) - len(_missing(values, sizes))
    if in_cache < len(rows):
        with _one_job(
            store, f"scores of {len(rows) - in_cache:,} of {len(rows):,} lists are not in the cache"
        ):
            values = _from(store, rows, sizes)
            numbers = _missing(values, sizes)
            in_cache = len(rows) - len(numbers)
            track(in_cache)
            if len(numbers):
                before()
            vectors = _scored(policy, store, rows, numbers, score, track)
            values = np.where(np.isnan(values), vectors.look_up(rows.keys, sizes), values)
    if len(left_out := _missing(values, sizes)):
        raise RunError(f"row {rows.ids[left_out[0]]} was left out by the pass over {', '.join(names)}")
    return values, in_cache


def model_key(policy: Policy, names: Collection[str]) -> str:
    """Return the hash of what decides the numbers of a pass beside the tokens.

    That is the model (weights, config, adapters), how it computes (device, precision, attention, packing, versions of
    the libraries), and the `names` of what is asked for together.
    """
    model = policy.model
    device = next(policy.parameters()).device.type
    adapters = {
        name: {key: value for key, value in settings.to_dict().items() if key not in USE}
        for name, settings in getattr(model, "peft_config", {}).items()
    }
    dependencies = {
        "version": VERSION,
        "names": sorted(names),
        "policy": type(policy).__qualname__,
        "weights": weights_hash(model),
        "config": {key: value for key, value in model.config.to_dict().items() if key not in ORIGIN},
        "adapters": [adapters[name] for name in sorted(adapters)],
        "device": torch.cuda.get_device_name()
        if device == "cuda"
        else torch.backends.cpu.get_cpu_capability(),
        "autocast": str(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else None,
        "multiplication": torch.get_float32_matmul_precision(),
        "attention": model.config._attn_implementation,
        "packed": policy.packed,
        **({} if policy.temperature == 1 else {"temperature": policy.temperature}),
        "libraries": [version("torch"), version("transformers")],
    }
    text = json.dumps(dependencies, sort_keys=True, default=_written)
    return hashlib.sha256(text.encode()).hexdigest()


def _written(value: Any) -> Any:
    """Return a value that JSON has no form for as one that it has, the same in every process."""
    return sorted(map(str, value)) if isinstance(value, (set, frozenset)) else str(value)


def _from(store: Store, rows: TokenRows, sizes: Array) -> Array:
    """Return on all ranks what the store has of these lists; the first one reads it."""
    values: Array = ranks.broadcast(store.read().look_up(rows.keys, sizes) if ranks.main() else None)
    return values


def _missing(values: Array, sizes: Array) -> Array:
    """Return the numbers of the lists of whose vectors a value is NaN."""
    return np.unique(np.repeat(np.arange(len(sizes)), sizes)[np.isnan(values)])


@torch.no_grad()
def _scored(
    policy: Policy, store: Store, rows: TokenRows, numbers: Array, score: Score, track: Track
) -> Vectors:
    """Score these lists, those of equal tokens once, with all ranks; what is scored is kept chunk by chunk."""
    once = numbers[np.sort(np.unique(rows.keys[numbers], return_index=True)[1])]
    chunks: list[Vectors] = []
    world, size = ranks.world(), CHUNK_ROWS * ranks.world()
    for start in range(0, len(once), size):
        chunk = once[start : start + size]
        own = chunk[ranks.rank() :: world]
        mine = {}
        for number in own.tolist():
            mine[number] = _finite(score(number), rows.ids[number])
            track(1)
        if len(own) < -(-len(chunk) // world):  # a sharded model runs on all ranks or on none
            device = next(policy.parameters()).device
            policy.signals(collate(rows, [0]).to(device), NO_REFERENCES, ())
        every = {number: vector for part in ranks.gathered(mine) for number, vector in part.items()}
        chunks.append(Vectors.of(rows.keys[chunk], [every[number] for number in chunk.tolist()]))
        track(len(chunk) - len(own))
        if ranks.main():
            store.add(chunks[-1])
    track(len(numbers) - len(once))
    if ranks.main():
        store.join()
    return Vectors.joined(chunks)


def _finite(vector: Array, row: str) -> Array:
    if not np.isfinite(vector).all():
        raise RunError(f"the pass over the rows gave no finite number for row {row}")
    return vector


@contextmanager
def _one_job(store: Store, reason: str) -> Iterator[None]:
    """Let one job at a time, with all its ranks, add to a store, whose damage is mended; the others wait."""
    if ranks.main():
        with locked(store.folder / "scores", reason):
            store.mend()
            ranks.barrier()
            yield
    else:
        ranks.barrier()
        yield
