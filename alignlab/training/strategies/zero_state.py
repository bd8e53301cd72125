"""What DeepSpeed's ranks hold of weights and optimizer, by the name of the weight: no matter how many ranks."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from alignlab import ranks
from alignlab.errors import RunError
from alignlab.training.checkpointing.sharded_files import Held, Piece, filled

MASTER = "weight"
"""Kind of the weights as the optimizer moves them, in float32; the other kinds are names of its states."""


@dataclass(frozen=True)
class Share:
    """A rank's part of a weight: `numel` elements from `start` on, which are `flat[offset:offset + numel]`."""

    name: str
    start: int
    numel: int
    flat: Tensor
    offset: int

    def of(self, flat: Tensor) -> Tensor:
        """The same elements of a tensor that is as long as `flat`."""
        return flat.detach().narrow(0, self.offset, self.numel)


def shares(engine: Any) -> Iterator[Share]:
    """All that this rank's optimizer moves."""
    find = _share_of_split if splits_weights(engine) else _share_of_flat
    for name, parameter in engine.module.named_parameters():
        share = find(engine.optimizer, name, parameter) if parameter.requires_grad else None
        if share is not None and share.numel > 0:
            yield share


def splits_weights(engine: Any) -> bool:
    """Whether it is stage 3."""
    return int(engine.zero_optimization_stage()) == 3


def held(engine: Any) -> Held:
    """Weights and states of the optimizer that this rank holds."""
    states = engine.optimizer.optimizer.state
    found = {}
    for share in shares(engine):
        known = {MASTER: share.flat, **states.get(share.flat, {})}
        flats = {kind: value for kind, value in known.items() if isinstance(value, Tensor) and value.ndim}
        found[share.name] = {
            "start": share.start,
            "elements": {kind: share.of(flat) for kind, flat in flats.items()},
            "numbers": {kind: value for kind, value in known.items() if kind not in flats},
        }
    return found


@torch.no_grad()
def take_up(engine: Any, saved: Sequence[Held]) -> None:
    """Bring weights and states of the optimizer to what the ranks of a checkpoint held, however many they were.

    RunError where a weight is not there, or not all of it.
    """
    optimizer = engine.optimizer
    if splits_weights(engine):
        optimizer.checkpoint_event_prologue()
    for share in shares(engine):
        _take_up(
            share,
            optimizer.optimizer.state[share.flat],
            [rank[share.name] for rank in saved if share.name in rank],
        )
    if splits_weights(engine):
        for group in range(len(optimizer.fp32_partitioned_groups_flat)):
            optimizer._reassign_or_swap_out_partitioned_parameters(group)
        optimizer.checkpoint_event_epilogue()
    else:
        optimizer.update_lp_params()


def _take_up(share: Share, state: dict[str, Any], saved: Sequence[Mapping[str, Any]]) -> None:
    if not saved:
        raise RunError(f"the checkpoint has no {share.name}: it belongs to another model")
    for kind in saved[0]["elements"]:
        if kind != MASTER and kind not in state:
            state[kind] = torch.zeros_like(share.flat, requires_grad=False)
        pieces = [replace(part["elements"][kind], start=part["start"]) for part in saved]
        flat = share.flat if kind == MASTER else state[kind]
        share.of(flat).copy_(filled(pieces, share.start, share.numel))
    for kind, value in saved[0]["numbers"].items():
        state[kind] = value.whole() if isinstance(value, Piece) else value


@torch.no_grad()
def unround(engine: Any) -> None:
    """Stages 1 and 2, after training: each weight becomes the float32 one that the optimizer moved, on the CPU."""
    import deepspeed

    for parameter in engine.module.parameters():
        if parameter.requires_grad:
            parameter.data = deepspeed.utils.safe_get_full_fp32_param(parameter).cpu()


@torch.no_grad()
def whole(model: nn.Module, *, exact: bool) -> dict[str, Tensor] | None:
    """Rank 0: all of a trained model by name, on the CPU, put together weight by weight; None on other ranks.

    `exact`: weights that were trained as the optimizer moves them, in float32.
    """
    import deepspeed

    by_id: dict[int, Tensor] = {}  # tied weights once
    for parameter in model.parameters():
        master = deepspeed.utils.safe_get_full_fp32_param(parameter) if parameter.requires_grad else None
        with deepspeed.zero.GatheredParameters([parameter], enabled=master is None):
            if ranks.main():
                found = parameter if master is None else master
                by_id[id(parameter)] = found.to("cpu", found.dtype if exact else parameter.dtype, copy=True)
    if not ranks.main():
        return None
    state = model.state_dict(keep_vars=True)
    return {name: by_id.get(id(value), value).detach().cpu() for name, value in state.items()}


def _share_of_flat(optimizer: Any, name: str, parameter: Any) -> Share | None:
    """Stages 1 and 2: the weights of a group stand one behind the other, cut into as many parts as ranks."""
    mapping = parameter._hp_mapping
    if mapping is None:
        return None
    flat = optimizer.optimizer.param_groups[mapping.param_group_index]["params"][0]
    within, master = mapping.lp_fragment_address, mapping.hp_fragment_address
    return Share(name, within.start, master.numel, flat, master.start)


def _share_of_split(optimizer: Any, name: str, parameter: Any) -> Share:
    """Stage 3: each weight is cut into as many parts as ranks, the last of them padded."""
    group, offset, padded = optimizer.grad_position[optimizer.get_param_id(parameter)]
    start = ranks.rank() * padded
    flat = optimizer.fp32_partitioned_groups_flat[group]
    return Share(name, start, min(padded, parameter.ds_numel - start), flat, int(offset))
