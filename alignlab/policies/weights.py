"""The identity of a model: a hash of its weights."""

import hashlib
from typing import Any

import torch
from torch import nn
from torch.distributed.tensor import DTensor


def weights_hash(model: nn.Module) -> str:
    """Return the SHA-256 over names, dtypes and bytes of all parameters and buffers, the same for any sharding."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        whole: Any = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
        digest.update(whole.detach().contiguous().cpu().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
