"""Statistics of tokenized rows: lengths, ties, and how often the best response is the longer one."""

import hashlib
from dataclasses import dataclass

import numpy as np

from alignlab.data.encoding.token_rows import Array, TokenRows


@dataclass(frozen=True)
class Statistics:
    """Statistics of tokenized rows: lengths are in tokens, shares are of lists with more than one response."""

    sizes: Array
    """The number of responses of each list, `[lists]`."""
    prompts: Array
    """The length of each prompt in tokens, `[lists]`."""
    responses: Array
    """The length of each response in tokens, `[responses]`."""
    labels: Array
    """The label of each response, `[responses]`."""
    gaps: Array
    """The best label minus the worst, `[lists of several responses]`."""
    longer: Array
    """The length of the best response minus that of the worst, in tokens, `[lists of several responses]`."""
    ties: float
    """The share of lists in which two or more labels are equal."""
    tied_best: float
    """The share of lists in which several responses have the best label."""
    longer_best: float
    """The share of lists in which the best response is longer than the worst; equal lengths count one half."""
    repeated_prompts: float
    """The share of all lists whose prompt an earlier list has."""
    repeated_lists: float
    """The share of all lists whose prompt and responses, token by token, an earlier list has."""


def statistics(rows: TokenRows) -> Statistics:
    """Compute the statistics of tokenized rows."""
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
