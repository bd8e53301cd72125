"""The share of weights and optimizer state that a rank of DeepSpeed holds, in a form that any number of ranks reads."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from alignlab import ranks
from alignlab.errors import RunError
from alignlab.training.checkpointing.sharded_files import Held, Piece, filled

MASTER = "weight"
"""The kind of elements that are the float32 weights; the other kinds are named after states of the optimizer."""


@dataclass(frozen=True)
class Share:
    """A rank's part of a weight: `numel` elements from index `start` on, stored as `flat[offset:offset + numel]`."""

    name: str
    start: int
    numel: int
    flat: Tensor
    offset: int

    def of(self, flat: Tensor) -> Tensor:
        """Return the elements of a tensor of the length of `flat` that stand where this share's stand."""
        return flat.detach().narrow(0, self.offset, self.numel)


def shares(engine: Any) -> Iterator[Share]:
    """Yield this rank's share of every weight that its optimizer moves."""
    find = _share_of_split if splits_weights(engine) else _share_of_flat
    for name, parameter in engine.module.named_parameters():
        share = find(engine.optimizer, name, parameter) if parameter.requires_grad else None
        if share is not None and share.numel > 0:
            yield share


def splits_weights(engine: Any) -> bool:
    """Whether the engine runs ZeRO stage 3, which shards the weights."""
    return int(engine.zero_optimization_stage()) == 3


def held(engine: Any) -> Held:
    """Return the shares of weights and optimizer state that this rank writes to a checkpoint, by name of the weight."""
    states = engine.optimizer.optimizer.state
    by_name = {}
    for share in shares(engine):
        known = {MASTER: share.flat, **states.get(share.flat, {})}
        flats = {kind: value for kind, value in known.items() if isinstance(value, Tensor) and value.ndim}
        by_name[share.name] = {
            "start": share.start,
            "elements": {kind: share.of(flat) for kind, flat in flats.items()},
            "numbers": {kind: value for kind, value in known.items() if kind not in flats},
        }
    return by_name


@torch.no_grad()
def take_up(engine: Any, saved: Sequence[Held]) -> None:
    """Restore weights and optimizer state from the shares in a checkpoint, however many ranks wrote it.

    Raises RunError where a weight is missing, in whole or in part.
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
    """Replace each rounded weight by the optimizer's float32 weight, on the CPU, after training at stage 1 or 2."""
    import deepspeed

    for parameter in engine.module.parameters():
        if parameter.requires_grad:
            parameter.data = deepspeed.utils.safe_get_full_fp32_param(parameter).cpu()


@torch.no_grad()
def whole(model: nn.Module, *, exact: bool) -> dict[str, Tensor] | None:
    """Return all weights of a trained model by name on rank 0's CPU, gathered one by one; None on other ranks.

    `exact` gives trained weights in float32, as the optimizer moves them.
    """
    import deepspeed

    by_id: dict[int, Tensor] = {}  # tied weights once
    for parameter in model.parameters():
        master = deepspeed.utils.safe_get_full_fp32_param(parameter) if parameter.requires_grad else None
        with deepspeed.zero.GatheredParameters([parameter], enabled=master is None):
            if ranks.main():
                weight = parameter if master is None else master
                by_id[id(parameter)] = weight.to("cpu", weight.dtype if exact else parameter.dtype, copy=True)
    if not ranks.main():
        return None
    state = model.state_dict(keep_vars=True)
    return {name: by_id.get(id(value), value).detach().cpu() for name, value in state.items()}


def _share_of_flat(optimizer: Any, name: str, parameter: Any) -> Share | None:
    """Find a share at stages 1 and 2: a group's weights are concatenated, and cut into one part a rank."""
    mapping = parameter._hp_mapping
    if mapping is None:
        return None
    flat = optimizer.optimizer.param_groups[mapping.param_group_index]["params"][0]
    within, master = mapping.lp_fragment_address, mapping.hp_fragment_address
    return Share(name, within.start, master.numel, flat, master.start)


def _share_of_split(optimizer: Any, name: str, parameter: Any) -> Share:
    """Find a share at stage 3: each weight is cut into one part a rank, the last of them padded."""
    group, offset, padded = optimizer.grad_position[optimizer.get_param_id(parameter)]
    start = ranks.rank() * padded
    flat = optimizer.fp32_partitioned_groups_flat[group]
    return Share(name, start, min(padded, parameter.ds_numel - start), flat, int(offset))
