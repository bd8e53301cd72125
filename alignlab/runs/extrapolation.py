"""Models beyond the trained one, on the line from where training started: ExPO, arXiv:2404.16792."""

import json
import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from alignlab.errors import ConfigError
from alignlab.places import ADAPTER
from alignlab.runs.export import like_others

Read = Callable[[str], Tensor]


def extrapolated(start: Tensor, trained: Tensor, alpha: float) -> Tensor:
    """trained + alpha * (trained - start), in float32 at least, in the dtype of `trained`.

    A tensor that is not floating-point is `trained` as it is.

    >>> extrapolated(torch.tensor([1.0, 2.0]), torch.tensor([1.5, 1.5]), 0.5)
    tensor([1.7500, 1.2500])
    """
    if not trained.is_floating_point():
        return trained
    wide = torch.promote_types(trained.dtype, torch.float32)
    moved = trained.to(wide)
    return (moved + alpha * (moved - start.to(wide))).to(trained.dtype)


def extrapolate(start: Path, trained: Path, out: Path, alpha: float) -> None:
    """Write a Hugging Face folder with the extrapolated weights, shard by shard, and all else as in `trained`.

    The folder appears whole or not at all. Raises ConfigError where one of the folders holds no
    safetensors, or they do not hold the same tensors; copies of tied weights may be left out in one.
    """
    files, before = tensor_files(trained), tensor_files(start)
    twins = _matched(before, files, start, trained)
    partial_ = out.with_name(f"{out.name}.partial")
    shutil.rmtree(partial_, ignore_errors=True)
    shutil.copytree(trained, partial_, ignore=shutil.ignore_patterns("*.safetensors", "README.md"))
    for shard in sorted(set(files.values())):
        own = [name for name, file in files.items() if file == shard]
        tensors = {
            name: extrapolated(read(before, twins[name]), read(files, name), alpha).contiguous()
            for name in own
        }
        save_file(tensors, partial_ / shard.name, metadata={"format": "pt"})
    origin = f"theta1 + {alpha:g} * (theta1 - theta0), arXiv:2404.16792\n\ntheta0: `{start}`\ntheta1: `{trained}`\n"
    like_others(partial_)
    (partial_ / "README.md").write_text(f"# Extrapolated by {alpha:g}\n\n{origin}", encoding="utf-8")
    shutil.rmtree(out, ignore_errors=True)
    os.replace(partial_, out)


def tensor_files(folder: Path) -> dict[str, Path]:
    """The file that holds each tensor of a model folder, by its name; ConfigError for no weights, or an adapter."""
    if (folder / ADAPTER).is_file():
        raise ConfigError(
            f"{folder} is an adapter, and whole models are extrapolated: write one by alignlab export run=... out=..."
        )
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        names = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        return {name: folder / file for name, file in names.items()}
    files: dict[str, Path] = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as tensors:
            files |= dict.fromkeys(tensors.keys(), file)
    if not files:
        raise ConfigError(f"{folder}: no safetensors there; give a folder that save_pretrained wrote")
    return files


def read(files: dict[str, Path], name: str) -> Tensor:
    """Read one tensor of a model folder, and no other."""
    with safe_open(files[name], framework="pt") as tensors:
        tensor: Tensor = tensors.get_tensor(name)
        return tensor


def _matched(before: dict[str, Path], after: dict[str, Path], start: Path, trained: Path) -> dict[str, str]:
    """The name in `before` of every tensor of `after`; ConfigError where one has tensors that the other lacks."""
    names = {name: name for name in after if name in before}
    for name in after.keys() - before.keys():
        if (twin := _tied(name, partial(read, after), list(names))) is None:
            raise ConfigError(f"{start} has no tensor {name}, which {trained} has: they are not of one model")
        names[name] = twin
    for name in before.keys() - after.keys():
        if _tied(name, partial(read, before), [n for n in before if n in after]) is None:
            raise ConfigError(f"{trained} has no tensor {name}, which {start} has: they are not of one model")
    for name, other in names.items():
        shapes = [tuple(read(files, key).shape) for files, key in ((after, name), (before, other))]
        if shapes[0] != shapes[1]:
            raise ConfigError(f"{name} is {shapes[1]} in {start} and {shapes[0]} in {trained}")
    return names


def _tied(name: str, get: Read, others: list[str]) -> str | None:
    """Another tensor of the same model that holds the same numbers: a weight that both share."""
    mine = get(name)
    return next((other for other in others if torch.equal(mine, get(other))), None)
