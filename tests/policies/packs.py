"""Packed batches made by hand: lists whose responses may continue different prompts, extra rows, steps."""

from collections.abc import Mapping, Sequence

import torch

from alignlab.types import Batch

Ids = list[int]
Pair = tuple[Ids, Ids]
"""A prompt, and a response that continues it."""


def pack(
    lists: Sequence[Sequence[Pair]],
    extra: Mapping[str, Sequence[Pair | None]] | None = None,
    step_ends: Ids | None = None,
) -> Batch:
    """Each prompt of a list once, the responses that continue it behind it; `extra` rows after them.

    A token of `step_ends` is the last of its step.
    """
    facts: list[tuple[int, int, int, int, int]] = []
    slot = torch.full((len(lists), max(map(len, lists))), -1)
    extras = {name: torch.full((len(lists),), -1) for name in extra or {}}
    prompts = rows = 0
    for b, pairs in enumerate(lists):
        named = [(pair, ("slot", k)) for k, pair in enumerate(pairs)]
        named += [(column[b], (name, -1)) for name, column in (extra or {}).items() if column[b] is not None]
        for prompt in dict.fromkeys(tuple(prompt) for (prompt, _), _ in named):
            facts += [(token, place, prompts, -1, -1) for place, token in enumerate(prompt)]
            for (own, response), (name, k) in named:
                if tuple(own) != prompt:
                    continue
                step = 0
                for place, token in enumerate(response, start=len(prompt)):
                    facts.append((token, place, prompts, rows, step))
                    step += token in (step_ends or ())
                if name == "slot":
                    slot[b, k] = rows
                else:
                    extras[name][b] = rows
                rows += 1
            prompts += 1
    tokens, positions, prompt, row, step = torch.tensor(facts).unbind(1)
    return Batch(
        tokens=tokens,
        positions=positions,
        prompt=prompt,
        row=row,
        slot=slot,
        labels=-torch.arange(slot.shape[1]).expand(slot.shape).float(),
        weights=torch.ones(len(lists)),
        ids=tuple(f"list{b}" for b in range(len(lists))),
        extra=extras,
        step=None if step_ends is None else step,
    )
