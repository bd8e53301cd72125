"""Log-probabilities of a frozen reference: one pass, kept on disk under the hash of all they depend on."""

import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from numpy.typing import NDArray

from alignlab.data.batches import collate, within_budget
from alignlab.data.token_rows import TokenRows
from alignlab.errors import ConfigError, RunError, one_of
from alignlab.objectives.objective import Objective
from alignlab.policies.causal_lm import CausalLM
from alignlab.policies.weights import weights_hash

log = logging.getLogger(__name__)

MODES = ("auto", "precomputed", "live", "none")
CHUNK_ROWS = 256
VERSION = "1"
"""Part of every key; raise it when scoring changes its numbers."""
ORIGIN = ("_name_or_path", "transformers_version", "architectures", "dtype")
"""Of a model config: what says where it came from, and changes no number."""

Array = NDArray[Any]
Track = Callable[[int], None]


def resolve_mode(mode: str, objective: Objective) -> str:
    """What `auto` means for this objective; ConfigError where a mode cannot serve it."""
    one_of("reference.mode", mode, MODES)
    if mode == "auto":
        if objective.divergences:
            return "live"
        return "precomputed" if objective.needs_reference else "none"
    if mode == "none" and objective.needs_reference:
        raise ConfigError(
            f"objective '{objective.name}' needs a reference: use reference=auto, not reference=none"
        )
    if mode == "precomputed" and objective.divergences:
        wanted = ", ".join(sorted(objective.divergences))
        raise ConfigError(
            f"{wanted} needs the reference's whole distribution: use reference=live, not precomputed"
        )
    return mode


def cached_logps(
    policy: CausalLM, rows: TokenRows, *, cache_dir: Path, budget: int, track: Track = lambda _: None
) -> Array:
    """Log-probability of every response under `policy`, nats, from the cache or computed now.

    The key covers the model and the token ids (so tokenizer, template, truncation and data). Jobs
    that want the same pass wait for the first of them. Raises RunError on a hole.
    """
    key = cache_key(policy, rows)
    file = cache_dir / "reference" / f"{key}.npy"
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(file.with_suffix(".lock")):
        if file.is_file():
            log.info(
                "reference log-probabilities: %d responses from the cache (%s)", len(rows.responses), key[:12]
            )
            return _read(file, len(rows.responses))
        logps = score(policy, rows, budget=budget, track=track)
        partial = file.with_suffix(".partial.npy")
        try:
            np.save(partial, logps)
            os.replace(partial, file)
        finally:
            partial.unlink(missing_ok=True)
    return logps


def _read(file: Path, responses: int) -> Array:
    """The log-probabilities of a cache file; RunError where it is damaged."""
    try:
        logps = np.load(file)
        whole = logps.shape == (responses,) and bool(np.isfinite(logps).all())
    except (OSError, EOFError, ValueError, TypeError, AttributeError):  # cut short, or no array of numbers
        whole = False
    if not whole:
        raise RunError(
            f"the reference cache {file} is damaged, has holes or belongs to other rows: "
            "delete that file and start again"
        )
    return logps


def cache_key(policy: CausalLM, rows: TokenRows) -> str:
    """Content address of a reference pass: weights, model config (rotary base, scaling, ...) and token ids."""
    config = {k: v for k, v in policy.model.config.to_dict().items() if k not in ORIGIN}
    told = json.dumps(config, sort_keys=True, default=str)
    digest = hashlib.sha256(f"{VERSION} {weights_hash(policy.model)} {told}".encode())
    for lists in (rows.prompts, rows.responses, rows.members):
        digest.update(np.ascontiguousarray(lists.values).tobytes())
        digest.update(np.ascontiguousarray(lists.offsets).tobytes())
    return digest.hexdigest()


@torch.no_grad()
def score(policy: CausalLM, rows: TokenRows, *, budget: int, track: Track = lambda _: None) -> Array:
    """One pass over all rows; each response is filled exactly once (RunError otherwise)."""
    device = next(policy.parameters()).device
    logps = np.full(len(rows.responses), np.nan, dtype=np.float64)
    for indices in _groups(rows, budget):
        batch = collate(rows, indices).to(device)
        values = policy(batch).logps.double().cpu().numpy()
        for position, index in enumerate(indices):
            members = rows.members[index]
            if not np.isnan(logps[members]).all():
                raise RunError(f"row {rows.ids[index]} was scored twice by the reference")
            logps[members] = values[position, : len(members)]
        track(len(indices))
    if holes := int((~np.isfinite(logps)).sum()):
        raise RunError(f"the reference gave no finite log-probability for {holes} of {len(logps)} responses")
    return logps


def _groups(rows: TokenRows, budget: int) -> Iterator[list[int]]:
    for start in range(0, len(rows), CHUNK_ROWS):
        yield from within_budget(rows, range(start, min(start + CHUNK_ROWS, len(rows))), budget)
