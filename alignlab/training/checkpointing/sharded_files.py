"""A checkpoint that all ranks write: a folder with one safetensors file a rank, read back by any number of ranks."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from safetensors import safe_open
from torch import Tensor

from alignlab import disk, ranks
from alignlab.errors import RunError
from alignlab.training.checkpointing import tensor_file

T = TypeVar("T")

HELD = "held"
"""The key of a rank's state under which its shares of weights and optimizer state stand."""
Held = Mapping[str, Mapping[str, Any]]
"""The shares of a rank, by name of the weight. `start` is the index of the first element held in the flattened weight;
`elements` are flat tensors by kind (the weight itself, states of its optimizer); `numbers` are the optimizer's other
values for the weight.
"""


class ShardedFiles:
    """A mixin for strategies of Lightning that shard the model and say what is held and how it is restored."""

    _write: "FolderWriter | None" = None
    checkpoint_io: Any

    def held(self) -> Held:
        """Return the shares of weights and optimizer state that this rank holds."""
        raise TypeError(f"{type(self).__name__} does not say what its ranks hold")

    def take_up(self, saved: Sequence[Held]) -> None:
        """Restore weights and optimizer from the ranks' shares in a checkpoint, whose tensors are `Piece`s."""
        raise TypeError(f"{type(self).__name__} does not say how its ranks take up weights")

    def save_checkpoint(self, checkpoint: dict[str, Any], filepath: Any, storage_options: Any = None) -> None:
        """Write this rank's shares, and on the first rank all else; all ranks must call it (see `Checkpoints`)."""
        self._write = self._write or FolderWriter()
        state = {**(checkpoint if ranks.main() else {}), HELD: self.held()}
        self.checkpoint_io.save_checkpoint(state, filepath, {**storage_options, "write": self._write})

    def load_checkpoint(self, checkpoint_path: Any, weights_only: bool | None = None) -> dict[str, Any]:
        """Restore weights and optimizer, and return the rest of the checkpoint; it holds no code.

        Raises RunError for a checkpoint of a strategy that does not shard.
        """
        folder = Path(checkpoint_path)
        if not folder.is_dir():
            raise RunError(f"{folder} was written with another strategy: go on with that one")
        with opened(folder) as states:
            self.take_up([state[HELD] for state in states])
        return common(folder)


class FolderWriter:
    """A writer of one file a rank into a folder. All ranks make one, and call it together.

    It has a process group of its own, so that threads can use it while training goes on.
    """

    def __init__(self) -> None:
        self._group: Any = dist.new_group(backend="gloo") if ranks.world() > 1 else None

    def __call__(self, folder: Path, flat: tensor_file.Flat) -> Callable[[], Mapping[str, str]]:
        """Write this rank's file. RunError where another rank failed.

        Returns a function that all ranks call, too: it brings this rank's file onto the disk, and returns the SHA-256
        of every rank's file by name.
        """
        file = folder / file_name(ranks.rank(), ranks.world())
        self._together(folder, lambda: _make(folder) if ranks.main() else None)
        self._together(folder, lambda: tensor_file.write(file, flat))
        return partial(self._hashes, file)

    def _hashes(self, file: Path) -> dict[str, str]:
        hashes = self._together(file.parent, lambda: (file.name, disk.lasting(file)))
        if ranks.main():
            disk.sync(file.parent)
        return dict(hashes)

    def _together(self, folder: Path, do: Callable[[], T]) -> list[T]:
        """Return what a function gives on each rank; where it fails on one, all of them fail."""
        result: Any = None
        failure: OSError | None = None
        try:
            result = do()
        except OSError as error:
            failure = error
        held: list[Any] = [(result, failure and str(failure))] * ranks.world()
        if ranks.world() > 1:
            dist.all_gather_object(held, held[0], group=self._group)
        if failure is not None:
            raise failure
        for rank, (_, problem) in enumerate(held):
            if problem is not None:
                raise RunError(f"rank {rank} could not write its part of {folder}: {problem}")
        return [each for each, _ in held]


@dataclass(frozen=True)
class Piece:
    """A tensor in a file, or a part of a flattened one, which is read only when asked for."""

    stream: Any
    name: str
    start: int = 0
    """The index of its first element in the flattened whole."""

    @property
    def length(self) -> int:
        """The number of elements."""
        return torch.Size(self.stream.get_slice(self.name).get_shape()).numel()

    def whole(self) -> Tensor:
        """Read the whole tensor, in its shape."""
        tensor: Tensor = self.stream.get_tensor(self.name)
        return tensor

    def between(self, first: int, last: int) -> Tensor:
        """Read the elements from index `first` up to `last` of a flat tensor."""
        tensor: Tensor = self.stream.get_slice(self.name)[first:last]
        return tensor


@contextmanager
def opened(folder: Path) -> Iterator[list[dict[str, Any]]]:
    """Give the states that the ranks wrote, each tensor as a `Piece`, while the files are open.

    Raises RunError where a file is missing.
    """
    files = sorted(folder.glob("rank-*.safetensors"))
    if [file.name for file in files] != [
        file_name(rank, len(files)) for rank in range(len(files))
    ] or not files:
        raise RunError(f"{folder}: not all files of the checkpoint are there")
    with ExitStack() as stack:
        yield [_state(stack.enter_context(safe_open(file, "pt"))) for file in files]


def common(folder: Path) -> dict[str, Any]:
    """Return the state that the first rank wrote beside its shares."""
    with opened(folder) as states:
        state: dict[str, Any] = _read({name: value for name, value in states[0].items() if name != HELD})
        return state


def filled(pieces: Sequence[Piece], start: int, count: int) -> Tensor:
    """Return `count` elements of a flattened tensor from index `start` on, joined from pieces that hold some of them.

    Raises RunError where the pieces do not hold them all.
    """
    parts, at, end = [], start, start + count
    for piece in sorted(pieces, key=lambda piece: piece.start):
        last = min(end, piece.start + piece.length)
        if piece.start <= at < last:
            parts.append(piece.between(at - piece.start, last - piece.start))
            at = last
    if at < end:
        raise RunError(
            f"the checkpoint lacks {end - at} elements of {pieces[0].name}: it belongs to another model"
        )
    return torch.cat(parts) if parts else torch.empty(0)


def file_name(rank: int, world: int) -> str:
    """Return the name of the file of a rank in a checkpoint of `world` ranks."""
    return f"rank-{rank:05d}-of-{world:05d}.safetensors"


def _make(folder: Path) -> None:
    disk.remove(folder)
    folder.mkdir(parents=True)


def _state(stream: Any) -> dict[str, Any]:
    pieces: Any = {name: Piece(stream, name) for name in stream.keys()}  # noqa: SIM118
    state: dict[str, Any] = tensor_file.nested(json.loads(stream.metadata()["state"]), pieces)
    return state


def _read(value: Any) -> Any:
    """Return a nested value with every `Piece` read into its tensor."""
    if isinstance(value, Piece):
        return value.whole()
    if isinstance(value, dict):
        return {key: _read(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(_read, value))
    return value
