"""Checks of the base signals that a caller passes: whether all are there, and whether their shapes agree."""

from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from alignlab.errors import ConfigError, nearest
from alignlab.signals import BASE, list_name

Sizes = Mapping[str, tuple[int, ...]]
"""The sizes of a feature signal's trailing dimensions, after [B, K, L], by the signal's name."""


def check_given(objective: str, needed: Collection[str], given: Mapping[str, Tensor]) -> None:
    """Raise ConfigError where a signal is misspelt, missing, or of another shape than the rest."""
    for name in given:
        if name not in BASE and name != "where":
            raise ConfigError(f"'{name}' is no base signal: {nearest(list_name(name), BASE)}")
    if missing := sorted(set(needed) - set(given)):
        wanted = ", ".join(f"{name} [{', '.join(BASE[name].shape.split())}]" for name in missing)
        raise ConfigError(f"objective '{objective}' needs {', '.join(missing)}: pass {wanted} as tensors")
    try:
        sizes = sizes_of(given)
    except ValueError as error:
        shapes = {name: tuple(value.shape) for name, value in given.items()}
        raise ConfigError(
            f"objective '{objective}' wants signals of one shape [B, K], got {shapes} ({error})"
        ) from error
    if "B" not in sizes or "K" not in sizes:
        raise ConfigError(f"objective '{objective}' needs a signal of shape [B, K], got {sorted(given)}")


def sizes_of(given: Mapping[str, Tensor]) -> dict[str, int]:
    """Return the size of each letter in the signals' shapes; raises ValueError where two signals disagree."""
    sizes: dict[str, int] = {}
    for name, value in given.items():
        letters = ("B K" if name == "where" else BASE[name].shape).split()
        if len(letters) != value.dim():
            raise ValueError(f"{name} has {value.dim()} dimensions, not {len(letters)}")
        for letter, size in zip(letters, value.shape, strict=True):
            known = int(letter) if letter.isdigit() else sizes.setdefault(letter, size)
            if known != size:
                raise ValueError(f"{name} has {size} for {letter}, others {known}")
    return sizes


def blank(name: str, like: Tensor, sizes: Sizes, known: Mapping[str, int] | None = None) -> Tensor:
    """Return zeros in the shape of a signal, for the lists of `like` `[B, K]`.

    `known` are the sizes of further dimensions, as other signals have them; unknown dimensions are 1.
    """
    by_letter = {**(known or {}), "B": like.shape[0], "K": like.shape[1]}
    letters = BASE[name].shape.split()
    shape = [by_letter.get(letter, int(letter) if letter.isdigit() else 1) for letter in letters]
    if name in sizes:
        shape[len(shape) - len(sizes[name]) :] = sizes[name]
    return torch.zeros(shape, dtype=like.dtype, device=like.device)
