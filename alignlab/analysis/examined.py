"""Rows under a policy and its reference: what an analysis examines, and the scores that it starts from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from alignlab.analysis.scored import Scored
from alignlab.console import quiet, tracked
from alignlab.data.encoding.token_rows import TokenRows
from alignlab.data.spec import SPLITS
from alignlab.errors import one_of
from alignlab.passes.hidden_products import cached_products
from alignlab.passes.reference import cached_signals
from alignlab.passes.values import cached_scores, score_of
from alignlab.policies.causal_lm.model import language_model
from alignlab.policies.policy import Policy
from alignlab.training.callbacks.validation import sources_of
from alignlab.training.opened import Opened, one_device, open_rows
from alignlab.training.references import frozen
from alignlab.training.spec import Stage


@dataclass(frozen=True)
class Examined:
    """A split of an opened stage, with the reference that scores it beside the policy."""

    opened: Opened
    rows: TokenRows
    reference: Policy | None
    """None where the stage's `reference.mode` is none."""


@quiet()
def examine(stage: Stage, split: str = "validation") -> Examined:
    """Open a split of a stage under its policy, and load its reference, on this machine's device.

    Raises ConfigError for an unknown split, DataError where the rows cannot be read.
    """
    one_of("split", split, SPLITS)
    opened = open_rows(stage, one_device(stage))
    reference = None
    if stage.reference.mode != "none":
        reference = frozen(stage, stage.reference.load, opened.place, opened.tokenizer)
    return Examined(opened, getattr(opened.splits, split), reference)


@quiet()
def scored(examined: Examined, *, products: bool = False) -> Scored:
    """Scores of the rows, from the cache or computed now.

    `products`: inner products of the hidden states of the reference (or of the policy alone), which CHES takes.
    """
    opened, rows, reference = examined.opened, examined.rows, examined.reference
    sources = sources_of(rows)
    signals = {"logps": None, "ref_logps": None, **_signals(examined)}
    return Scored(
        ids=list(rows.ids),
        sources=[sources[row] for row in rows.ids],
        **signals,
        lengths=_dense(rows, rows.responses.lengths),
        labels=_padded([rows.labels[i] for i in range(len(rows))]),
        where=_dense(rows, np.ones(len(rows.responses))) > 0,
        reward=opened.stage.objective.reward,
        scores=None if rows.rewards is None else _padded([rows.rewards[i] for i in range(len(rows))]),
        products=_products(opened.stage, reference or opened.policy, rows) if products else (),
    )


def _signals(examined: Examined) -> dict[str, torch.Tensor]:
    """The signals that responses are compared by: log-probabilities, against a reference where there is one, or scores.

    Scores are those of a policy with a head of its own, `[B, K]` or `[B, K, K]`.
    """
    opened, rows = examined.opened, examined.rows
    if name := score_of(opened.policy):
        with tracked("scores of the policy", len(rows)) as advance:
            lists = cached_scores(opened.policy, rows, cache_dir=opened.stage.cache_dir, track=advance)
        return {name: _padded(lists)}
    models = {"logps": ("policy", opened.policy), "ref_logps": ("reference", examined.reference)}
    return {
        name: _dense(rows, _logps(opened.stage, model, rows, f"log-probabilities of the {what}"))
        for name, (what, model) in models.items()
        if model is not None
    }


def _logps(stage: Stage, policy: Policy, rows: TokenRows, what: str) -> Any:
    """The log-probability of each response in nats, from the cache or computed now."""
    with tracked(what, len(rows)) as advance:
        signals = cached_signals(
            policy,
            rows,
            ["ref_logps"],
            cache_dir=stage.cache_dir,
            track=advance,
        )
    return signals["ref_logps"]


def _products(stage: Stage, policy: Policy, rows: TokenRows) -> list[torch.Tensor]:
    with tracked("hidden states", len(rows)) as advance:
        products = cached_products(
            language_model(policy, "CHES"),
            rows,
            cache_dir=stage.cache_dir,
            track=advance,
        )
    return [torch.from_numpy(values.copy()) for values in products]


def _dense(rows: TokenRows, values: Any) -> torch.Tensor:
    """Values of responses as `[B, K]`, 0 where a list is shorter."""
    return _padded([values[rows.members[i]] for i in range(len(rows))])


def _padded(lists: Sequence[Any]) -> torch.Tensor:
    """Lists of values `[K]` as `[B, K]`, or of tables `[K, K]` as `[B, K, K]`; 0 where a list is shorter."""
    longest = max(len(values) for values in lists)
    out = torch.zeros(len(lists), *[longest] * np.ndim(lists[0]), dtype=torch.float64)
    for row, values in zip(out, lists, strict=True):
        place = tuple(slice(size) for size in np.shape(values))
        row[place] = torch.from_numpy(np.array(values, dtype=np.float64))
    return out
