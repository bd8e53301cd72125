"""The share that a rank holds of a sharded model: a run of the elements of every parameter, in the order of ranks."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

from alignlab import ranks
from alignlab.errors import RunError
from alignlab.training.checkpointing.sharded_files import Held, Piece, filled

WRAPPER = "_fsdp_wrapped_module."
"""The prefix that FSDP1 puts into the names of parameters."""
WEIGHT = "weight"
"""The kind of elements that are the parameter itself; the other kinds are named after states of the optimizer."""


@dataclass(frozen=True)
class Share:
    """The elements of a parameter that this rank holds."""

    parameter: nn.Parameter
    start: int
    """The index, in the flattened whole parameter, of the first element held."""

    @property
    def flat(self) -> Tensor:
        """The elements held, as a flat view of the parameter's own memory."""
        return local(self.parameter).view(-1)

    def of(self, whole: Tensor) -> Tensor:
        """Return the elements of another whole tensor that stand where this share's stand in its parameter."""
        return whole.reshape(-1)[self.start : self.start + self.flat.numel()]


def local(tensor: Tensor) -> Tensor:
    """Return this rank's part of a tensor: detached, and a view of the same memory."""
    tensor = tensor.detach()
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def note_shapes(module: nn.Module) -> None:
    """Store the shape of every parameter on it as `whole_shape`, before FSDP1 flattens it."""
    for parameter in module.parameters():
        parameter.whole_shape = parameter.shape  # type: ignore[attr-defined]


def whole_shape(parameter: Tensor) -> torch.Size:
    """Return the shape of the whole parameter, however it is sharded."""
    shape: torch.Size = getattr(parameter, "whole_shape", parameter.shape)
    return shape


def is_spread(parameter: Tensor) -> bool:
    """Whether each rank holds only a part of the parameter."""
    return isinstance(parameter, DTensor) or hasattr(parameter, "whole_shape")


def shares(module: nn.Module) -> dict[str, Share]:
    """Return this rank's share of every parameter, by its name without wrappers. All ranks must call it together."""
    named = {name.replace(WRAPPER, ""): parameter for name, parameter in module.named_parameters()}
    sizes = ranks.gathered([local(parameter).numel() for parameter in named.values()])
    before = [sum(counts) for counts in zip(*sizes[: ranks.rank()], strict=True)] or [0] * len(named)
    return {
        name: Share(parameter, start if is_spread(parameter) else 0)
        for (name, parameter), start in zip(named.items(), before, strict=True)
    }


def held(module: nn.Module, optimizer: Optimizer) -> Held:
    """Return what this rank writes to a checkpoint: its shares, and on rank 0 the parameters that no rank shards."""
    by_name = {}
    for name, share in shares(module).items():
        if not share.flat.numel() or not (is_spread(share.parameter) or ranks.main()):
            continue
        elements, numbers = {WEIGHT: share.flat}, {}
        for kind, value in optimizer.state.get(share.parameter, {}).items():
            if isinstance(value, Tensor) and value.shape == share.parameter.shape:
                elements[kind] = local(value).reshape(-1)
            else:
                numbers[kind] = value
        by_name[name] = {"start": share.start, "elements": elements, "numbers": numbers}
    return by_name


@torch.no_grad()
def take_up(module: nn.Module, optimizer: Optimizer, saved: Sequence[Held]) -> None:
    """Restore parameters and optimizer from the shares in a checkpoint, however many ranks wrote it.

    Raises RunError where a parameter is missing, in whole or in part.
    """
    states: dict[nn.Parameter, dict[str, Any]] = {}
    for name, share in shares(module).items():
        if not whole_shape(share.parameter).numel():
            continue  # no rank wrote anything of it
        parts = [rank[name] for rank in saved if name in rank]
        if not parts:
            raise RunError(f"the checkpoint has no {name}: it belongs to another model")
        state = {kind: _read(value) for kind, value in parts[0]["numbers"].items()}
        for kind in parts[0]["elements"]:
            pieces = [replace(part["elements"][kind], start=part["start"]) for part in parts]
            flat = filled(pieces, share.start, share.flat.numel())
            if kind == WEIGHT:
                share.flat.copy_(flat)
            else:
                state[kind] = torch.zeros_like(share.parameter, dtype=flat.dtype, requires_grad=False)
                local(state[kind]).view(-1).copy_(flat)
        if state:
            states[share.parameter] = state
    numbered = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    by_number = {n: states[parameter] for n, parameter in enumerate(numbered) if parameter in states}
    optimizer.load_state_dict({**optimizer.state_dict(), "state": by_number})


def buffers(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield the persistent buffers of a module and its children, by name; they are equal on all ranks."""
    for prefix, each in module.named_modules():
        for name, buffer in each.named_buffers(prefix, recurse=False):
            if name.rpartition(".")[2] not in each._non_persistent_buffers_set:
                yield name.replace(WRAPPER, ""), buffer


@torch.no_grad()
def whole_state(model: nn.Module) -> dict[str, Tensor] | None:
    """Gather a sharded model's state dict, parameter by parameter, on rank 0's CPU; None on other ranks."""
    wholes: dict[int, Tensor] = {}
    for share in shares(model).values():
        whole = together(share)
        if ranks.main():
            wholes[id(share.parameter)] = whole.cpu()
    if not ranks.main():
        return None
    named = model.named_parameters(remove_duplicate=False)  # tied ones under each of their names
    state = {name.replace(WRAPPER, ""): wholes[id(parameter)] for name, parameter in named}
    return state | {name: buffer.detach().cpu() for name, buffer in buffers(model)}


def average_copies(parameters: Iterable[nn.Parameter]) -> None:
    """Average over ranks the gradients of parameters that every rank holds whole, as engines average the others."""
    for parameter in parameters:
        if parameter.requires_grad and not is_spread(parameter):
            gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            parameter.grad = ranks.total(gradient) / ranks.world()


@torch.no_grad()
def clip(parameters: Iterable[nn.Parameter], largest: float | None) -> float:
    """Clip the gradient of all parameters of all ranks to the norm `largest`; returns its norm before."""
    gradients: dict[bool, list[Tensor]] = {True: [], False: []}
    for parameter in parameters:
        if parameter.grad is not None and local(parameter.grad).numel():
            gradients[is_spread(parameter)].append(local(parameter.grad))
    norm = (ranks.total(_squares(gradients[True])) + _squares(gradients[False])).sqrt().item()
    if largest is not None:
        for group in filter(None, gradients.values()):
            torch._foreach_mul_(group, min(1.0, largest / (norm + 1e-6)))
    return norm


def _squares(tensors: list[Tensor]) -> Tensor:
    """Return the sum of all squared elements, in float64 on the CPU."""
    norms = torch._foreach_norm(tensors, dtype=torch.float64) if tensors else [torch.zeros(())]
    return torch.stack(list(norms)).square().sum().double().cpu()


def together(share: Share) -> Tensor:
    """Return the whole parameter of a share. All ranks must call it together."""
    flat = share.flat
    if is_spread(share.parameter):
        flat = ranks.rows(flat)
    return flat.view(whole_shape(share.parameter))


def _read(value: Any) -> Any:
    return value.whole() if isinstance(value, Piece) else value
