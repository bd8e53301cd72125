"""Lays out a micro-batch for a decoder: in padded rows, which every architecture accepts, or one row a list."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor

from alignlab.types import Batch


class Layout(NamedTuple):
    """The inputs of a decoder, and the positions at which it reads and predicts each token of the batch."""

    inputs: Mapping[str, Any]
    place: Int[Tensor, "T"]
    """The flat index of the position at which each token is read; of a prompt with copies, in the first of them."""
    source: Int[Tensor, "T"]
    """The flat index of the position that predicts each token; -1 for the first of a prompt."""


def packed_source(batch: Batch) -> Int[Tensor, "T"]:
    """For each token, the place in the packed row of the one before it: for a response's first, its prompt's last."""
    place_T = torch.arange(len(batch.tokens), device=batch.tokens.device)
    prompt_Q, place_Q = batch.prompt[~batch.is_response], place_T[~batch.is_response]
    ends = torch.zeros_like(place_Q).scatter_reduce(0, prompt_Q, place_Q, "amax", include_self=False)
    starts_response = batch.is_response & (batch.row != batch.row.roll(1))
    before_T = torch.where(starts_response, ends[batch.prompt], place_T - 1)
    return before_T.masked_fill(batch.positions == 0, -1)


def padded(batch: Batch) -> Layout:
    """Lay out one row for each response: a copy of its prompt, then the response, padded on the right.

    Prompt tokens are predicted in the first row that continues their prompt. There is no attention
    mask: padding comes last, where a causal model never looks, and rows that attend to nothing
    (padding beyond a sliding window) would be undefined.
    """
    inside = batch.is_response
    row_R = batch.row[inside]
    row_lengths, row_starts = _runs(row_R)
    prompt_lengths, prompt_starts = _runs(batch.prompt[~inside])
    prompt_N = batch.prompt[inside][row_starts]
    before_N = prompt_lengths[prompt_N]
    lengths_N = before_N + row_lengths

    width = int(lengths_N.max())
    column = torch.arange(width, device=batch.tokens.device)[None, :]
    from_prompt = _pick(batch.tokens[~inside], prompt_starts[prompt_N][:, None] + column)
    from_row = _pick(batch.tokens[inside], row_starts[:, None] + column - before_N[:, None])
    tokens = torch.where(column < before_N[:, None], from_prompt, from_row).masked_fill(
        column >= lengths_N[:, None], 0
    )
    numbers = torch.arange(len(prompt_N), device=prompt_N.device)
    first_row = torch.zeros_like(prompt_lengths).scatter_reduce(
        0, prompt_N, numbers, "amin", include_self=False
    )
    row_T = torch.where(inside, batch.row, first_row[batch.prompt])
    place = row_T * width + batch.positions
    return Layout({"input_ids": tokens}, place, (place - 1).masked_fill(batch.positions == 0, -1))


def masked(
    batch: Batch,
    *,
    dtype: torch.dtype,
    window: int | None = None,
    windows: Mapping[str, int | None] | None = None,
) -> Layout:
    """Lay out one row for each prompt with its responses, under an additive mask `[prompts, 1, width, width]`.

    `window` is the size of a sliding window, in tokens; `windows` asks for a mask for each type of layer, with its
    own window.
    """
    counts, starts = _runs(batch.prompt)
    order = batch.prompt.argsort(stable=True)
    column_T = torch.empty_like(order)
    column_T[order] = torch.arange(len(order), device=order.device) - starts[batch.prompt[order]]
    shape = len(counts), int(counts.max())
    place_T = batch.prompt * shape[1] + column_T

    def rows(values: Int[Tensor, "T"], filler: int) -> Int[Tensor, "P W"]:
        return values.new_full(shape, filler).flatten().index_copy(0, place_T, values).view(shape)

    row, positions = rows(batch.row, -2), rows(batch.positions, 0)  # -2: padding sees padding
    ahead = positions[:, :, None] - positions[:, None]
    seen = (ahead >= 0) & ((row == -1)[:, None] | (row[:, :, None] == row[:, None]))

    def mask(window: int | None) -> Tensor:
        inside = seen if window is None else seen & (ahead < window)
        hidden = torch.full((), torch.finfo(dtype).min, dtype=dtype, device=row.device)
        return torch.where(inside, torch.zeros_like(hidden), hidden)[:, None]

    masks = mask(window) if windows is None else {kind: mask(size) for kind, size in windows.items()}
    inputs = {"input_ids": rows(batch.tokens, 0), "position_ids": positions, "attention_mask": masks}
    before_T = packed_source(batch)
    return Layout(inputs, place_T, torch.where(before_T < 0, -1, place_T[before_T]))


def _runs(index: Tensor) -> tuple[Tensor, Tensor]:
    """The length and the start of each run of a sorted index."""
    lengths = torch.bincount(index)
    return lengths, lengths.cumsum(0) - lengths


def _pick(values: Tensor, index: Tensor) -> Tensor:
    """`values[index]`, with indices outside clamped (their places are masked afterwards)."""
    return values[index.clamp(0, len(values) - 1)]
