"""What a decoder has read of a few rows: its cache, where rows end at one column and shorter ones are padded before."""

import inspect
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from alignlab.policies.causal_lm.decoder import decoder_of
from alignlab.policies.causal_lm.head import Head
from alignlab.sampling.columns import join, own_layers, widen


class Reader:
    """A language model as a decoder that goes on from its cache, and a head.

    Raises ValueError where the decoder takes no positions, or keeps something else than keys and values of attention.
    """

    def __init__(self, model: Any) -> None:
        self.decoder, self.head = decoder_of(model), Head(model)
        self.device = next(self.decoder.parameters()).device
        taken = inspect.signature(self.decoder.forward).parameters
        self.cache_name = next((name for name in ("cache", "past_key_values") if name in taken), "")
        if not self.cache_name or "position_ids" not in taken:
            raise ValueError("its decoder takes no cache, or no positions")
        config = model.config.get_text_config()
        self.length: int | None = getattr(config, "max_position_embeddings", None)

    def __call__(
        self, tokens: Int[Tensor, "R L"], mask: Bool[Tensor, "R S"], positions: Int[Tensor, "R L"], cache: Any
    ) -> tuple[Float[Tensor, "R L D"], Any]:
        """Return final hidden states of tokens that stand behind what the cache holds, and the cache with them."""
        inputs = {"input_ids": tokens, "attention_mask": mask.long(), "position_ids": positions}
        output = self.decoder(**inputs, **{self.cache_name: cache}, use_cache=True)
        cache = getattr(output, self.cache_name)
        cache.layers = own_layers(cache.layers)
        return output.last_hidden_state, cache


class Context:
    """The rows that a decoder has read, with the logits `[R, V]` of the token behind each of them.

    `seen` `[R, S, D]` are normalised hidden states of all their tokens, where they are to be kept.
    """

    def __init__(self, reader: Reader, cache: Any, mask: Tensor, lengths: list[int]) -> None:
        self.reader, self.cache, self.mask, self.lengths = reader, cache, mask, lengths
        self.logits: Float[Tensor, "R V"] = mask.new_empty(0)
        self.seen: Float[Tensor, "R S D"] | None = None

    @classmethod
    def of(cls, reader: Reader, prompts: Sequence[Sequence[int]], *, keep_seen: bool = False) -> "Context":
        """Read prompts, each once."""
        width = max(map(len, prompts))
        filled = [[0] * (width - len(ids)) + list(ids) for ids in prompts]
        lengths = [len(ids) for ids in prompts]
        pads = torch.tensor([width - length for length in lengths], device=reader.device)
        mask = torch.arange(width, device=reader.device) >= pads[:, None]
        positions = (mask.long().cumsum(1) - 1).clamp(min=0)
        hidden, cache = reader(torch.tensor(filled, device=reader.device), mask, positions, None)
        context = cls(reader, cache, mask, lengths)
        context._heed(hidden, keep_seen=keep_seen)
        return context

    def advance(self, tokens: Int[Tensor, "R"]) -> None:
        """Read one more token of each row."""
        most = self.reader.length or max(self.lengths) + 1
        places = [min(length, most - 1) for length in self.lengths]  # rows that ended may be read beyond it
        positions = torch.tensor(places, device=tokens.device)[:, None]
        self.mask = torch.cat([self.mask, self.mask.new_ones(len(tokens), 1)], 1)
        self.lengths = [length + 1 for length in self.lengths]
        hidden, self.cache = self.reader(tokens[:, None], self.mask, positions, self.cache)
        self._heed(hidden, keep_seen=self.seen is not None)

    def _heed(self, hidden: Float[Tensor, "R L D"], *, keep_seen: bool) -> None:
        self.logits = self.reader.head(hidden[:, -1])
        if keep_seen:
            new = F.normalize(hidden.float() if hidden.dtype != torch.float64 else hidden, dim=-1)
            self.seen = new if self.seen is None else torch.cat([self.seen, new], 1)

    def select(self, rows: Int[Tensor, "Q"]) -> None:
        """Keep these rows, in this order; a row may be there several times."""
        for layer in self.cache.layers:
            layer.batch_select_indices(rows)
        self.mask, self.logits = self.mask[rows], self.logits[rows]
        self.seen = None if self.seen is None else self.seen[rows]
        self.lengths = [self.lengths[i] for i in rows.tolist()]
        self._widen(max(self.lengths))

    def join(self, other: "Context") -> None:
        """Add the rows of another context behind one's own."""
        width = max(self.mask.shape[1], other.mask.shape[1])
        for context in (self, other):
            context._widen(width)
        for ours, theirs in zip(self.cache.layers, other.cache.layers, strict=True):
            join(ours, theirs)
        self.mask = torch.cat([self.mask, other.mask])
        self.logits = torch.cat([self.logits, other.logits])
        if self.seen is not None and other.seen is not None:
            self.seen = torch.cat([self.seen, other.seen])
        self.lengths += other.lengths

    def _widen(self, width: int) -> None:
        """Have so many columns, by padding on the left, or by leaving columns out there that no row needs."""
        more = width - self.mask.shape[1]
        if not more:
            return
        self.mask = F.pad(self.mask, (more, 0))
        self.seen = None if self.seen is None else F.pad(self.seen, (0, 0, more, 0))
        for layer in self.cache.layers:
            widen(layer, width)
