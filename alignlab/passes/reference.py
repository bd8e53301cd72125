"""The scores of a frozen reference: one pass over the rows, kept on disk under the hash of all it depends on."""

import hashlib
import json
import logging
import os
import shutil
import zipfile
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from alignlab import ranks
from alignlab.cache import aside, locked, problem, rebuilt
from alignlab.data.batching.batches import collate, within_budget
from alignlab.data.encoding.token_rows import TokenRows
from alignlab.errors import ConfigError, RunError, one_of
from alignlab.policies.causal_lm.signals import relative_entropy
from alignlab.policies.policy import NO_REFERENCES, Policy
from alignlab.policies.weights import weights_hash
from alignlab.signals import BASE

log = logging.getLogger(__name__)

CHUNK_ROWS = 256
"""The number of rows that each rank scores between two writes to the disk."""
RESULT = "result.npy"
"""The file of an entry that holds what a pass gave."""
VERSION = "2"
"""A part of every key; raise it when scoring changes its numbers."""
ORIGIN = ("_name_or_path", "transformers_version", "architectures", "dtype")
"""The keys of a model config that say where the model came from, and change no number."""

Array = NDArray[Any]
Track = Callable[[int], None]


def cached_signals(
    policy: Policy,
    rows: TokenRows,
    names: Collection[str],
    *,
    cache_dir: Path,
    budget: int,
    track: Track = lambda rows: None,
) -> dict[str, Array]:
    """Return the signals of every response with `policy` as the reference, from the cache or computed now.

    The key covers the model, the token ids (so tokenizer, template, truncation and data) and the
    names. Jobs that want the same pass wait for the first of them; a pass that was cut short goes
    on where it stopped; a damaged entry is computed again. Ranks share the rows of a pass, and all must call this.
    Raises RunError where a row is left out or gets no finite score, ConfigError for a policy that does not give such
    signals.
    """
    for name in names:
        one_of("reference.signals", name, [name for name, signal in BASE.items() if signal.own])
        if BASE[name].own not in policy.provides:
            raise ConfigError(
                f"{name} needs a policy that gives {BASE[name].own}, and {type(policy).__name__} gives "
                f"{', '.join(sorted(policy.provides))} alone: use policy=causal_lm, or leave out what asks for it"
            )
    kind = np.dtype([(name, np.float64) for name in sorted(names)])
    key = cache_key(policy, rows, names)
    made = False

    def compute(parts: Path) -> Array:
        nonlocal made
        made = True
        return _pass(policy, rows, kind, parts, budget, track)

    scores = pass_entry(cache_dir / "reference" / key, compute)
    if not made:
        log.info("%s: %d responses from the cache (%s)", ", ".join(names), len(rows.responses), key[:12])
    return {name: scores[name] for name in names}


def pass_entry(place: Path, compute: Callable[[Path], Array]) -> Array:
    """Return the result of a pass on all ranks: from its entry in the cache, or computed now by all ranks together.

    `compute` gets a folder for what may outlive a pass that is cut short; the first rank returns the result from it.
    """
    if ranks.broadcast(problem(place) is None):
        return _shared(place)
    with one_job(place):
        if ranks.broadcast(ranks.main() and rebuilt(place)):
            parts = place.with_name(f"{place.name}.parts")
            result = compute(parts)
            if ranks.main():
                with aside(place) as partial:
                    partial.mkdir()
                    np.save(partial / RESULT, result)
                shutil.rmtree(parts, ignore_errors=True)
        return _shared(place)


def _shared(place: Path) -> Array:
    """Return the result of a pass on all ranks; the first one reads it."""
    result: Array = ranks.broadcast(np.load(place / RESULT) if ranks.main() else None)
    return result


@contextmanager
def one_job(place: Path) -> Iterator[None]:
    """Let one job at a time, with all its ranks, build an entry of the cache; the others wait."""
    if ranks.main():
        with locked(place):
            ranks.barrier()
            yield
    else:
        ranks.barrier()
        yield


def cache_key(policy: Policy, rows: TokenRows, names: Collection[str] = ("ref_logps",)) -> str:
    """Return the content address of a pass: weights, model config, autocast, token ids and signals."""
    config = {k: v for k, v in policy.model.config.to_dict().items() if k not in ORIGIN}
    device = next(policy.parameters()).device.type
    cast = str(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else None
    dependencies = json.dumps(
        [VERSION, sorted(names), weights_hash(policy.model), config, cast], sort_keys=True, default=str
    )
    return hashlib.sha256((dependencies + rows.tokens_hash).encode()).hexdigest()


def _pass(
    policy: Policy, rows: TokenRows, kind: np.dtype[Any], parts: Path, budget: int, track: Track
) -> Array:
    """Score all rows in chunks, and return the scores; chunks that are on the disk already are read."""
    parts.mkdir(exist_ok=True)
    scores = np.full(len(rows.responses), np.nan, dtype=kind)
    size = CHUNK_ROWS * ranks.world()
    for start in range(0, len(rows), size):
        indices = range(start, min(start + size, len(rows)))
        members = np.concatenate([rows.members[index] for index in indices])
        part = parts / f"{start}.npz"
        values = ranks.broadcast(_read(part, kind, len(members)) if ranks.main() else None)
        if values is None:
            own = indices[ranks.rank() :: ranks.world()]
            mine = score(policy, rows, own, kind, budget=budget, track=track)
            track(len(indices) - len(own))
            values = _together(ranks.gathered(mine[members]))
            if ranks.main():
                _publish(part, values)
        else:
            track(len(indices))
        scores[members] = values
    return scores


def _together(parts: Sequence[Array]) -> Array:
    """Merge the scores of all ranks, each of which holds NaN where it did not score."""
    whole = parts[0].copy()
    for part in parts[1:]:
        for name in part.dtype.names or ():
            known = ~np.isnan(part[name])
            whole[name][known] = part[name][known]
    return whole


@torch.no_grad()
def score(
    policy: Policy,
    rows: TokenRows,
    indices: Sequence[int],
    kind: np.dtype[Any],
    *,
    budget: int,
    track: Track = lambda rows: None,
) -> Array:
    """Score these rows; the result's fields are those of `kind`, and other rows hold NaN.

    Every rank gives its own rows, at the same time: they run equally many forwards. Raises RunError for
    a row that is scored twice, left out, or gets no finite number.
    """
    device = next(policy.parameters()).device
    names = kind.names or ()
    scores = np.full(len(rows.responses), np.nan, dtype=kind)
    groups = list(within_budget(rows, indices, budget, packed=policy.packed))
    most = max(ranks.gathered(len(groups)))
    for group in groups:
        batch = collate(rows, group).to(device)
        own = policy.signals(batch, NO_REFERENCES, {BASE[name].own for name in names})
        if "entropy" in own:
            vocabulary = policy.model.config.get_text_config().vocab_size
            own["entropy"] = relative_entropy(own["entropy"], own["lengths"], vocabulary)
        for name in names:
            values_BK = own[BASE[name].own].double().cpu().numpy()
            for values, index in zip(values_BK, group, strict=True):
                members = rows.members[index]
                if not np.isnan(scores[name][members]).all():
                    raise RunError(f"row {rows.ids[index]} was scored twice by the reference")
                if not np.isfinite(values[: len(members)]).all():
                    raise RunError(f"the reference gave no finite {name} for row {rows.ids[index]}")
                scores[name][members] = values[: len(members)]
        track(len(group))
    for _ in range(most - len(groups)):
        policy.signals(
            collate(rows, [0]).to(device), NO_REFERENCES, ()
        )  # a sharded model runs on all ranks or on none
    for index in indices:
        if np.isnan(scores[names[0]][rows.members[index]]).any():
            raise RunError(f"row {rows.ids[index]} was left out by the reference")
    return scores


def _read(file: Path, kind: np.dtype[Any], responses: int) -> Array | None:
    """Return the scores of a chunk; None where there is no file, or it is damaged, which its checksum tells."""
    try:
        with file.open("rb") as stream, np.load(stream) as archive:
            scores: Array = archive["scores"]
    except (OSError, EOFError, ValueError, TypeError, KeyError, AttributeError, zipfile.BadZipFile):
        return None
    return scores if scores.dtype == kind and scores.shape == (responses,) else None


def _publish(file: Path, scores: Array) -> None:
    """Write the scores of a chunk to its file, whole or not at all."""
    partial = file.with_suffix(".partial.npz")
    try:
        np.savez(partial, scores=scores)
        os.replace(partial, file)
    finally:
        partial.unlink(missing_ok=True)
