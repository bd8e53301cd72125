"""How probable it is that a prompt is one of the desirable data, by a classifier on a model's states of prompts."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from alignlab.data.batching.batches import collate
from alignlab.data.encoding.token_rows import Array, TokenRows
from alignlab.passes.by_list import Track, by_list
from alignlab.policies.causal_lm.model import CausalLM
from alignlab.policies.causal_lm.signals import Encoder, prompt_targets
from alignlab.types import Batch

STEPS = 1000
"""The most steps that the fit of the classifier takes."""


def cached_probabilities(
    policy: CausalLM,
    rows: TokenRows,
    fitted_on: TokenRows,
    desirable: Array,
    *,
    cache_dir: Path,
    track: Track = lambda rows: None,
) -> Array:
    """Return for each row the probability that its prompt is one of the desirable data, from the cache or computed now.

    A logistic regression tells the prompts of the rows `fitted_on` that are `desirable` `[rows]` (true or false) from
    the others, both classes weighing the same, by the mean of the policy's final hidden states over a prompt's tokens.
    What is kept is kept by list, as `by_list` says, for the rows that the classifier is fitted on.
    """
    of = hashlib.sha256(fitted_on.tokens_hash.encode() + np.asarray(desirable, bool).tobytes()).hexdigest()
    classifiers: list[Any] = []

    def fit() -> None:
        states = []
        for index in range(len(fitted_on)):
            states.append(_state(policy, fitted_on, index))
            track(1)
        classifiers.append(fitted(np.stack(states), desirable))

    def score(index: int) -> Array:
        probabilities: Array = classifiers[0].predict_proba(_state(policy, rows, index)[None])[:, 1]
        return probabilities

    sizes, names = np.ones(len(rows), dtype=np.int64), ["desirable_probs", of]
    return by_list(policy, rows, names, sizes, score, cache_dir=cache_dir, track=track, before=fit)[0]


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
def _state(policy: CausalLM, rows: TokenRows, index: int) -> Array:
    """The mean state `[D]` of the prompt of one list."""
    batch = collate(rows, [index]).to(next(policy.parameters()).device)
    state: Array = prompt_means(batch, policy)[0].cpu().numpy()
    return state
