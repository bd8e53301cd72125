"""A nested state in one safetensors file: tensors in its body, all else as json in its header, no pickle."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from alignlab.errors import RunError

DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}

Flat = tuple[Any, dict[str, Tensor]]
"""A state with names in the place of its tensors, and the tensors by these names."""


def flatten(state: Any) -> Flat:
    """Take the tensors out of nested dicts, lists and tuples; tensors that share memory are stored once.

    The rest is a tree for json: a list is a list, everything else a node with its kind as the one key,
    so that tuples and keys that are numbers come back as they were. RunError names what does not fit.
    """
    tensors: dict[str, Tensor] = {}
    known: dict[Any, str] = {}

    def node(value: Any, *path: Any) -> Any:
        name = ".".join(map(str, path))
        if isinstance(value, Tensor) and value.dtype in DTYPES:
            place = (value.data_ptr(), value.dtype, value.shape, value.stride())
            name = known.setdefault(place, name) if value.numel() else name
            tensors.setdefault(name, value.detach())
            return {"tensor": name}
        if isinstance(value, Mapping):
            return {"dict": [[key, node(each, *path, key)] for key, each in value.items()]}
        if isinstance(value, (list, tuple)):
            nodes = [node(each, *path, i) for i, each in enumerate(value)]
            return {"tuple": nodes} if isinstance(value, tuple) else nodes
        if value is None or isinstance(value, (bool, int, float, str)):
            return value
        what = getattr(value, "dtype", type(value).__name__)
        raise RunError(f"a checkpoint cannot hold {name}, of type {what}: only tensors and plain values")

    return node(state), tensors


def nested(tree: Any, tensors: Mapping[str, Any]) -> Any:
    """Put the tensors back into a tree that `flatten` made."""
    if isinstance(tree, list):
        return [nested(each, tensors) for each in tree]
    if not isinstance(tree, dict):
        return tree
    ((kind, value),) = tree.items()
    if kind == "tensor":
        return tensors[value]
    if kind == "tuple":
        return tuple(nested(each, tensors) for each in value)
    return {key: nested(each, tensors) for key, each in value}


def write(file: Path, flat: Flat) -> None:
    """Write a flattened state into a file tensor by tensor, without a copy of the whole.

    safetensors' own `save_file` brings every tensor to the CPU before it writes the first.
    """
    tree, tensors = flat
    header: dict[str, Any] = {"__metadata__": {"state": json.dumps(tree)}}
    end = 0
    for name, tensor in tensors.items():
        begin, end = end, end + tensor.numel() * tensor.element_size()
        header[name] = {
            "dtype": DTYPES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [begin, end],
        }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of 8 bytes
    with file.open("wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        for tensor in tensors.values():
            stream.write(_bytes(tensor))


def read(file: Path) -> Any:
    """Return the state in a file that `write` wrote, on the CPU."""
    with safe_open(file, "pt") as stream:
        tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
        return nested(json.loads(stream.metadata()["state"]), tensors)


def _bytes(tensor: Tensor) -> Any:
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().data if len(flat) else b""
