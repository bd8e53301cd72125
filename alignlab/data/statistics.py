"""Figures of tokenized rows that tell whether the data is what one thinks it is."""

import hashlib
from dataclasses import dataclass

import numpy as np

from alignlab.data.encoding.token_rows import Array, TokenRows


@dataclass(frozen=True)
class Statistics:
    """Lengths in tokens, one value a list or a response; shares are of lists with more than one response."""

    sizes: Array
    """Responses of each list."""
    prompts: Array
    responses: Array
    labels: Array
    gaps: Array
    """Best label less worst, per list."""
    longer: Array
    """Tokens of the best response less those of the worst, per list."""
    ties: float
    """Share with two equal labels or more."""
    tied_best: float
    """Share in which several responses have the best label."""
    longer_best: float
    """Share in which the best is longer than the worst, equal lengths half."""
    repeated_prompts: float
    """Share of all lists whose prompt came before."""
    repeated_lists: float
    """Share of all lists of which every token came before."""


def statistics(rows: TokenRows) -> Statistics:
    """The figures of these rows."""
    labels = [np.asarray(rows.labels[i]) for i in range(len(rows))]
    lengths = [rows.responses.lengths[rows.members[i]] for i in range(len(rows))]
    several = [i for i, values in enumerate(labels) if len(values) > 1]
    best, worst = ([int(place(labels[i])) for i in several] for place in (np.argmax, np.argmin))
    longer = np.array(
        [int(lengths[i][b]) - int(lengths[i][w]) for i, b, w in zip(several, best, worst, strict=True)]
    )
    prompts = [_hash(rows.prompts[i]) for i in range(len(rows))]
    lists = [_hash(rows.prompts[i], *(rows.responses[m] for m in rows.members[i])) for i in range(len(rows))]
    return Statistics(
        sizes=np.array([len(values) for values in labels]),
        prompts=rows.prompts.lengths,
        responses=np.concatenate(lengths) if lengths else np.zeros(0, dtype=np.int64),
        labels=np.concatenate(labels) if labels else np.zeros(0),
        gaps=np.array([np.ptp(labels[i]) for i in several]),
        longer=longer,
        ties=_share([len(np.unique(labels[i])) < len(labels[i]) for i in several]),
        tied_best=_share([int(np.sum(labels[i] == labels[i].max())) > 1 for i in several]),
        longer_best=_share([0.5 + 0.5 * np.sign(gap) for gap in longer]),
        repeated_prompts=1 - len(set(prompts)) / max(1, len(prompts)),
        repeated_lists=1 - len(set(lists)) / max(1, len(lists)),
    )


def _share(values: list[bool] | list[float]) -> float:
    return float(np.mean(values)) if len(values) else float("nan")


def _hash(*lists: Array) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for ids in lists:
        digest.update(np.ascontiguousarray(ids).tobytes())
        digest.update(b"|")
    return digest.digest()
