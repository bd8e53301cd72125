"""The block mask of a packed row for torch's flex attention: which tokens attend to which."""

from functools import cached_property

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Int
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask

from alignlab.policies.causal_lm.packing.tiles import Plan
from alignlab.types import Batch

BLOCK = 128
"""The number of tokens of a block, which a kernel computes or skips as a whole."""


class Blocks:
    """The attention of a packed row as spans of tokens, and as block masks, made once for all layers.

    Every token attends to the span of its own prompt or response up to itself; a token of a response attends to
    its prompt too. The row is padded to whole blocks, so that shapes repeat, with tokens that attend to themselves.
    """

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        # two at least: kernels are compiled anew for what there is but one of
        self.length = BLOCK * max(2, -(-len(batch.tokens) // BLOCK))
        self._masks: dict[int | None, BlockMask] = {}

    @cached_property
    def plan(self) -> Plan:
        """The plan of the same attention in calls that any device can do."""
        return Plan(self.batch)

    def filled(self, values: Int[Tensor, "T"]) -> Int[Tensor, "L"]:
        """Values of tokens, padded with zeros up to whole blocks."""
        return F.pad(values, (0, self.length - len(values)))

    def mask(self, window: int | None) -> BlockMask:
        """The block mask for layers with a sliding window of `window` tokens, or without one."""
        if window not in self._masks:
            self._masks[window] = self._mask(window)
        return self._masks[window]

    @cached_property
    def _spans(self) -> tuple[Tensor, Tensor, Tensor]:
        """For each token, where its own span begins, and where that of its prompt begins and ends (for responses)."""
        batch, place_T = self.batch, torch.arange(len(self.batch.tokens), device=self.batch.tokens.device)
        prompt_Q, place_Q = batch.prompt[~batch.is_response], place_T[~batch.is_response]
        first, last = (
            torch.zeros_like(place_Q).scatter_reduce(0, prompt_Q, place_Q, how, include_self=False)
            for how in ("amin", "amax")
        )
        begin_T, end_T = first[batch.prompt], torch.where(batch.is_response, last[batch.prompt] + 1, 0)
        return place_T - batch.positions + (end_T - begin_T).clamp(min=0), begin_T, end_T

    def _mask(self, window: int | None) -> BlockMask:
        own, begin, end = self._spans
        place = torch.arange(self.length, device=own.device)
        if window:
            own = torch.maximum(own, place[: len(own)] - window + 1)
            begin = torch.maximum(begin, begin + self.batch.positions - window + 1)
        own = torch.cat([own, place[len(own) :]])
        begin, end = self.filled(begin), self.filled(end)

        def seen(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
            in_own = (key >= own[query]) & (key <= query)
            return in_own | ((key >= begin[query]) & (key < end[query]))

        some, whole = _by_block((own, place + 1), (begin, end))
        return BlockMask.from_kv_blocks(
            *_ordered(some & ~whole),
            *_ordered(whole),
            BLOCK_SIZE=BLOCK,
            mask_mod=seen,
            seq_lengths=(self.length, self.length),
        )


def _by_block(*spans: tuple[Int[Tensor, "L"], Int[Tensor, "L"]]) -> tuple[Tensor, Tensor]:
    """Two masks `[N, N]`: key blocks of which a query block sees some pair, and those that it sees whole.

    `spans` hold where the spans begin and end that each token sees.
    """
    start_N = torch.arange(0, len(spans[0][0]), BLOCK, device=spans[0][0].device)
    some = whole = torch.zeros((), dtype=torch.bool, device=start_N.device)
    for begin, end in spans:
        begin_L1, end_L1 = begin[:, None], end[:, None]
        some = some | ((begin_L1 < start_N + BLOCK) & (end_L1 > start_N) & (begin_L1 < end_L1))
        whole = whole | ((begin_L1 <= start_N) & (end_L1 >= start_N + BLOCK))
    by_block = len(start_N), BLOCK, len(start_N)
    return some.view(by_block).any(1), whole.view(by_block).all(1)


def _ordered(wanted: Bool[Tensor, "N N"]) -> tuple[Int[Tensor, "1 1 N"], Int[Tensor, "1 1 N N"]]:
    """The number of wanted blocks of keys for each block of queries, and their order, the wanted ones first."""
    order = wanted.int().argsort(dim=-1, descending=True, stable=True)
    return wanted.sum(-1, dtype=torch.int32)[None, None], order.int()[None, None]
