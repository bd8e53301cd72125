"""How probable it is that a prompt is one of the desirable data, by a classifier on a model's states of prompts."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from alignlab.data.batching.batches import collate, within_budget
from alignlab.data.encoding.token_rows import Array, TokenRows
from alignlab.passes.reference import cache_key, pass_entry
from alignlab.policies.causal_lm.model import CausalLM
from alignlab.policies.causal_lm.signals import Encoder, prompt_targets
from alignlab.types import Batch

Track = Callable[[int], None]

STEPS = 1000
"""The most steps that the fit of the classifier takes."""


def cached_probabilities(
    policy: CausalLM,
    rows: TokenRows,
    fitted_on: TokenRows,
    desirable: Array,
    *,
    cache_dir: Path,
    budget: int,
    track: Track = lambda rows: None,
) -> Array:
    """Return for each row the probability that its prompt is one of the desirable data, from the cache or computed now.

    A logistic regression tells the prompts of the rows `fitted_on` that are `desirable` `[rows]` (true or false) from
    the others, both classes weighing the same, by the mean of the policy's final hidden states over a prompt's tokens.
    The key in the cache is that of a reference pass, with the rows that the classifier is fitted on.
    """
    of = hashlib.sha256(fitted_on.tokens_hash.encode() + np.asarray(desirable, bool).tobytes()).hexdigest()
    place = cache_dir / "reference" / cache_key(policy, rows, ["desirable_probs", of])

    def compute(_: Path) -> Array:
        classifier = fitted(_states(policy, fitted_on, budget, lambda part: part, track), desirable)
        return _states(policy, rows, budget, lambda part: classifier.predict_proba(part)[:, 1], track)

    return pass_entry(place, compute)


def fitted(states: Array, desirable: Array) -> Any:
    """A logistic regression fitted to states `[rows, D]`, with scaled dimensions and classes of equal weight."""
    from sklearn.linear_model import LogisticRegression  # where it is used alone: it is an extra, and heavy
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    regression = LogisticRegression(class_weight="balanced", max_iter=STEPS)
    return make_pipeline(StandardScaler(), regression).fit(states, desirable)


def prompt_means(batch: Batch, policy: Encoder) -> Float[Tensor, "B D"]:
    """Mean of the final hidden states over the tokens of each list's prompt, in float64."""
    encoded = policy.encode(batch, prompts=True)
    assert encoded.prompt_hidden is not None
    starts_N = batch.row_lengths.cumsum(0) - batch.row_lengths
    first_B = starts_N[batch.slot[:, 0]]  # its last token predicts the first of its responses
    sums = encoded.hidden[first_B].double()
    sums = sums.index_add(0, batch.prompt[prompt_targets(batch)], encoded.prompt_hidden.double())
    return sums / torch.bincount(batch.prompt[~batch.is_response])[:, None]


@torch.no_grad()
def _states(
    policy: CausalLM, rows: TokenRows, budget: int, made: Callable[[Array], Array], track: Track
) -> Array:
    """What `made` makes of the mean states `[lists, D]` of the prompts, in the order of the rows."""
    device = next(policy.parameters()).device
    parts: dict[int, Array] = {}
    for group in within_budget(rows, range(len(rows)), budget, packed=policy.packed):
        means = prompt_means(collate(rows, group).to(device), policy).cpu().numpy()
        parts |= dict(zip(group, made(means), strict=True))
        track(len(group))
    return np.stack([parts[index] for index in range(len(rows))])
