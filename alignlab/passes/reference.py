"""Scores of a frozen reference: one pass, kept on disk under the hash of all they depend on."""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from numpy.typing import NDArray

from alignlab import ranks
from alignlab.data.batching.batches import collate, within_budget
from alignlab.data.encoding.token_rows import TokenRows
from alignlab.errors import ConfigError, RunError, one_of
from alignlab.policies.causal_lm.signals import relative_entropy
from alignlab.policies.policy import Policy
from alignlab.policies.weights import weights_hash
from alignlab.signals import BASE

log = logging.getLogger(__name__)

CHUNK_ROWS = 256
"""Rows that each rank scores between two writes to the disk."""
VERSION = "2"
"""Part of every key; raise it when scoring changes its numbers."""
ORIGIN = ("_name_or_path", "transformers_version", "architectures", "dtype")
"""Of a model config: what says where it came from, and changes no number."""

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
    """Signals of every response with `policy` as the reference, from the cache or computed now.

    The key covers the model, the token ids (so tokenizer, template, truncation and data) and the
    names. Jobs that want the same pass wait for the first of them; a pass that was cut short goes
    on where it stopped. Ranks share the rows of a pass, and all must call this. Raises RunError on a hole,
    ConfigError for a policy that does not give such signals.
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
    file = cache_dir / "reference" / f"{key}.npy"
    file.parent.mkdir(parents=True, exist_ok=True)
    with one_job(file.with_suffix(".lock")):
        if ranks.broadcast(file.is_file()):
            log.info("%s: %d responses from the cache (%s)", ", ".join(names), len(rows.responses), key[:12])
            read = ranks.broadcast(_read(file, kind, len(rows.responses)) if ranks.main() else None)
            if read is None:
                raise RunError(
                    f"the reference cache {file} is damaged, has holes or belongs to other rows: "
                    "delete that file and start again"
                )
        else:
            read = _pass(policy, rows, kind, file.with_suffix(".parts"), budget, track)
            if ranks.main():
                _publish(file, read)
                shutil.rmtree(file.with_suffix(".parts"), ignore_errors=True)
    return {name: read[name] for name in names}


@contextmanager
def one_job(lock: Path) -> Iterator[None]:
    """Of all jobs only one is inside at a time, with all its ranks."""
    if ranks.main():
        with FileLock(lock):
            ranks.barrier()
            yield
    else:
        ranks.barrier()
        yield


def cache_key(policy: Policy, rows: TokenRows, names: Collection[str] = ("ref_logps",)) -> str:
    """Content address of a pass: weights, model config (rotary base, ...), autocast, token ids and signals."""
    config = {k: v for k, v in policy.model.config.to_dict().items() if k not in ORIGIN}
    device = next(policy.parameters()).device.type
    cast = str(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else None
    told = json.dumps(
        [VERSION, sorted(names), weights_hash(policy.model), config, cast], sort_keys=True, default=str
    )
    return hashlib.sha256((told + rows.tokens_hash).encode()).hexdigest()


def _pass(
    policy: Policy, rows: TokenRows, kind: np.dtype[Any], parts: Path, budget: int, track: Track
) -> Array:
    """All rows in chunks; those whose part is on the disk already are not scored again."""
    parts.mkdir(exist_ok=True)
    found = np.full(len(rows.responses), np.nan, dtype=kind)
    size = CHUNK_ROWS * ranks.world()
    for start in range(0, len(rows), size):
        indices = range(start, min(start + size, len(rows)))
        members = np.concatenate([rows.members[index] for index in indices])
        part = parts / f"{start}.npy"
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
        found[members] = values
    return found


def _together(parts: Sequence[Array]) -> Array:
    """What all ranks scored; each left NaN where it did not."""
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
    """Signals of these rows, named by the fields of `kind`; the other rows hold NaN.

    Every rank gives its own rows, at the same time: they run equally many forwards. Raises RunError for
    a row that is scored twice, left out, or gets no finite number.
    """
    device = next(policy.parameters()).device
    names = kind.names or ()
    found = np.full(len(rows.responses), np.nan, dtype=kind)
    groups = list(within_budget(rows, indices, budget, packed=policy.packed))
    most = max(ranks.gathered(len(groups)))
    for group in groups:
        batch = collate(rows, group).to(device)
        own = policy.signals(batch, (None, None), {BASE[name].own for name in names})
        if "entropy" in own:
            vocabulary = policy.model.config.get_text_config().vocab_size
            own["entropy"] = relative_entropy(own["entropy"], own["lengths"], vocabulary)
        for name in names:
            values_BK = own[BASE[name].own].double().cpu().numpy()
            for values, index in zip(values_BK, group, strict=True):
                members = rows.members[index]
                if not np.isnan(found[name][members]).all():
                    raise RunError(f"row {rows.ids[index]} was scored twice by the reference")
                if not np.isfinite(values[: len(members)]).all():
                    raise RunError(f"the reference gave no finite {name} for row {rows.ids[index]}")
                found[name][members] = values[: len(members)]
        track(len(group))
    for _ in range(most - len(groups)):
        policy.signals(
            collate(rows, [0]).to(device), (None, None), ()
        )  # a sharded model runs on all ranks or on none
    for index in indices:
        if np.isnan(found[names[0]][rows.members[index]]).any():
            raise RunError(f"row {rows.ids[index]} was left out by the reference")
    return found


def _read(file: Path, kind: np.dtype[Any], responses: int) -> Array | None:
    """The scores in a file; None where there is none, or it is damaged."""
    try:
        found = np.load(file)
        whole = found.dtype == kind and found.shape == (responses,)
        finite = whole and all(np.isfinite(found[name]).all() for name in kind.names or ())
    except (OSError, EOFError, ValueError, TypeError, AttributeError):  # cut short, or no array of numbers
        return None
    return found if finite else None


def _publish(file: Path, found: Array) -> None:
    """Write at once or not at all."""
    partial = file.with_suffix(".partial.npy")
    try:
        np.save(partial, found)
        os.replace(partial, file)
    finally:
        partial.unlink(missing_ok=True)
