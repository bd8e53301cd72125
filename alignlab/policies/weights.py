"""The identity of a model: a hash of its weights."""

import hashlib
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

THREADS = 8
"""The largest number of tensors that are hashed at the same time."""
_known: "WeakKeyDictionary[nn.Module, tuple[list[Any], str]]" = WeakKeyDictionary()
"""By model: what its tensors were when it was hashed, and the hash."""


def weights_hash(model: nn.Module) -> str:
    """Return the SHA-256 over names, dtypes and hashes of all parameters and buffers, the same for any sharding.

    Tensors are hashed in several threads, and those of a model once, until one is replaced or changed: torch counts
    most changes in place, and sums tell the others (fused optimizers, writes to `tensor.data`). All ranks of a sharded
    model call it.
    """
    state = dict(sorted(model.state_dict().items()))
    now = [_state_of(tensor) for tensor in state.values()]
    before = _known.get(model)
    if before is None or before[0] != now:
        digest = hashlib.sha256()
        for name, (tensor, own) in zip(state, zip(state.values(), _hashes(state), strict=True), strict=True):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} {own}\n".encode())
        before = _known[model] = now, digest.hexdigest()
    return before[1]


def _state_of(tensor: Tensor) -> tuple[Any, ...]:
    """Return where a tensor lies, how often it was changed, and its sum; of a sharded one, this rank's part."""
    local: Tensor = tensor.to_local() if isinstance(tensor, DTensor) else tensor
    return local.data_ptr(), local._version, _sum(local.detach()), tensor.dtype, tensor.shape


def _sum(tensor: Tensor) -> int:
    """Return the sum of a tensor's bytes, taken eight at a time, which costs a small part of a hash."""
    data = tensor.contiguous().reshape(-1).view(torch.uint8)
    if data.storage_offset() % 8:
        data = data.clone()  # words stand at multiples of their size
    whole = len(data) - len(data) % 8
    return int(data[:whole].view(torch.int64).sum() + data[whole:].sum())


def _hashes(state: dict[str, Any]) -> Iterator[str]:
    """Yield the SHA-256 of the bytes of each tensor, in order; few of them are in memory twice at a time."""
    with ThreadPoolExecutor(min(THREADS, os.cpu_count() or 1)) as pool:
        waiting: deque[Future[str]] = deque()
        for tensor in state.values():
            whole: Any = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
            waiting.append(pool.submit(_hash, whole.detach()))
            if len(waiting) > THREADS:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _hash(tensor: Tensor) -> str:
    values = tensor.contiguous().cpu().reshape(-1).view(torch.uint8).numpy()
    return hashlib.sha256(values.data).hexdigest()
