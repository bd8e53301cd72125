"""From a packed micro-batch to padded rows: the form that every architecture accepts."""

from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from alignlab.types import Batch


@dataclass(frozen=True)
class Rows:
    """One row a response: its prompt, then the response, padded on the right (S columns)."""

    tokens: Int[Tensor, "N S"]
    source: Int[Tensor, "R"]
    """Flat index (into N * S) of the position that predicts each response token."""


def unpack(batch: Batch) -> Rows:
    """Lay out each response behind a copy of its prompt. Response tokens keep their packed order."""
    inside = batch.is_response
    row_R = batch.row[inside]
    rows = int(batch.slot.max()) + 1
    row_lengths, row_starts = _runs(row_R, rows)
    prompt_lengths, prompt_starts = _runs(batch.prompt[~inside], int(batch.prompt.max()) + 1)
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

    within_R = torch.arange(len(row_R), device=row_R.device) - row_starts[row_R]
    source = row_R * width + before_N[row_R] + within_R - 1
    return Rows(tokens, source)


def _runs(index: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Length and start of each run of a sorted index."""
    lengths = torch.bincount(index, minlength=count)
    return lengths, lengths.cumsum(0) - lengths


def _pick(values: Tensor, index: Tensor) -> Tensor:
    """`values[index]`, with indices outside clamped (their places are masked afterwards)."""
    return values[index.clamp(0, len(values) - 1)]
