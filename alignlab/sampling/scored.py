"""The log-probabilities of drawn responses under any language model, by one packed pass."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from alignlab.policies.causal_lm.decoder import decoder_of, unwrapped
from alignlab.policies.causal_lm.head import Head, token_scores
from alignlab.policies.causal_lm.packing.forms import fastest
from alignlab.sampling.in_process import evaluating
from alignlab.sampling.rollout import Rollout
from alignlab.types import Batch

TOKENS = 2**13
"""The number of tokens that are read at once, those of a prompt counted once."""


def token_logps(
    model: Any, rollouts: Sequence[Rollout], *, temperature: float = 1.0
) -> list[tuple[Float[np.ndarray, "_"], ...]]:
    """Return the log-probability of every response token in nats, over the whole vocabulary.

    Logits of the vocabulary are there in chunks only.
    """
    form, head = fastest(unwrapped(model))[0], Head(model, temperature)
    device = next(model.parameters()).device
    scores: list[tuple[Float[np.ndarray, _], ...]] = []
    with torch.no_grad(), evaluating(model):
        for some in _affordable(rollouts):
            batch = batch_of(some).to(device)
            layout = form.lay(batch)
            states = decoder_of(model)(**layout.inputs, use_cache=False).last_hidden_state.flatten(0, 1)
            hidden, targets = states[layout.source[batch.is_response]], batch.tokens[batch.is_response]
            flat = token_scores(hidden, targets, head)["logps"].cpu().numpy()
            parts = iter(np.split(flat, np.cumsum([len(ids) for one in some for ids in one.responses])))
            scores += [tuple(next(parts) for _ in one.responses) for one in some]
    return scores


def batch_of(rollouts: Sequence[Rollout]) -> Batch:
    """Return the prompts with their responses as one micro-batch, whose labels say nothing."""
    facts: list[np.ndarray] = []
    slot = torch.full((len(rollouts), max(len(one.responses) for one in rollouts)), -1)
    row = 0
    for number, one in enumerate(rollouts):
        begun = len(one.prompt_ids)
        facts.append(_facts(one.prompt_ids, 0, number, -1))
        for k, ids in enumerate(one.responses):
            facts.append(_facts(ids, begun, number, row))
            slot[number, k] = row
            row += 1
    tokens, positions, prompts, rows = torch.from_numpy(np.concatenate(facts, axis=1)).unbind(0)
    names = tuple(one.id for one in rollouts)
    return Batch(
        tokens, positions, prompts, rows, slot, torch.zeros(slot.shape), torch.ones(len(slot)), names
    )


def _facts(ids: np.ndarray, begun: int, prompt: int, row: int) -> np.ndarray:
    """Tokens, positions, the number of the prompt, the number of the row."""
    count = len(ids)
    return np.stack([ids, np.arange(begun, begun + count), np.full(count, prompt), np.full(count, row)])


def _affordable(rollouts: Sequence[Rollout]) -> Iterator[list[Rollout]]:
    some: list[Rollout] = []
    total = 0
    for one in rollouts:
        size = len(one.prompt_ids) + sum(map(len, one.responses))
        if some and total + size > TOKENS:
            yield some
            some, total = [], 0
        some.append(one)
        total += size
    if some:
        yield some
