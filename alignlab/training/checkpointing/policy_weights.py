"""The reader of the policy's weights in a checkpoint of any strategy, for one process on a CPU."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from alignlab.errors import RunError
from alignlab.training.checkpointing import tensor_file
from alignlab.training.checkpointing.checkpoints import damage
from alignlab.training.checkpointing.sharded_files import HELD, common, filled, opened
from alignlab.training.strategies.shares import WEIGHT

MODEL = "policy.model."
"""The prefix of the transformers model's weights in a checkpoint."""


@torch.no_grad()
def load_policy(model: nn.Module, checkpoint: Path) -> None:
    """Restore a model's weights from a checkpoint: one file, or a folder that any number of ranks wrote.

    Raises RunError for a checkpoint that is damaged, or of another model.
    """
    if (problem := damage(checkpoint)) is not None:
        raise RunError(f"{checkpoint} {problem}: choose another with checkpoint=...")
    state = model.state_dict()  # shares memory with the model, so that weights go straight into it
    left = {name for name, weight in model.named_parameters() if weight.requires_grad}
    for name, tensor in (_of_folder if checkpoint.is_dir() else _of_file)(checkpoint, state):
        if name not in state or state[name].shape != tensor.shape:
            raise RunError(
                f"{checkpoint}: {name} {tuple(tensor.shape)} is no weight of {type(model).__name__}"
            )
        state[name].copy_(tensor)
        left.discard(name)
    if left:
        raise RunError(
            f"{checkpoint} lacks {len(left)} weights of {type(model).__name__} (first: {min(left)})"
        )


def _of_file(checkpoint: Path, _: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    yield from _own(tensor_file.read(checkpoint)["state_dict"])


def _of_folder(checkpoint: Path, known: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """Yield the weights of a checkpoint folder one by one, joined from the pieces that ranks wrote."""
    yield from _own(common(checkpoint)["state_dict"])
    with opened(checkpoint) as states:
        ranks = [dict(_own(state[HELD])) for state in states]
        for name in dict.fromkeys(name for rank in ranks for name in rank):
            if name not in known:
                raise RunError(f"{checkpoint}: {name} is no weight of this model")
            parts = [rank[name] for rank in ranks if name in rank]
            pieces = [replace(part["elements"][WEIGHT], start=part["start"]) for part in parts]
            yield name, filled(pieces, 0, known[name].numel()).view(known[name].shape)


def _own(named: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the weights of the transformers model, by the names that they have in it."""
    yield from ((name.partition(MODEL)[2], value) for name, value in named.items() if MODEL in name)
