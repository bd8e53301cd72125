"""The figures of a scored dataset, over all of it and by source, each with its confidence interval."""

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from alignlab.analysis.scored import Scored
from alignlab.metrics.displacement import displaced
from alignlab.metrics.ranking import kendall_tau, ndcg, top1, wins
from alignlab.metrics.split_metrics import by_source
from alignlab.uncertainty import Estimate, mean_over_rows, share

Figures = dict[str, Estimate]


def summaries(rows: Scored) -> Iterator[tuple[str, Scored, Figures]]:
    """Yield (name, lists, figures) of all lists and, where there are several sources, of each."""
    yield "all", rows, figures(rows)
    for name, mask in by_source(rows.sources).items():
        part = rows.take(mask)
        yield name, part, figures(part)


def figures(rows: Scored) -> Figures:
    """The figures of scored lists, by name, with 95 % intervals: accuracies, margins, changes, lengths.

    Accuracies are over all strictly ordered pairs; chosen and rejected are the best and the worst of a list. Of
    lone responses, chosen are the desirable ones, and the accuracy is how often the reward's sign is right.
    """
    estimates = _of_scores(rows) if rows.logps is None else _of_logps(rows, rows.logps)
    estimates |= _sides(rows, "length of {}, tokens", rows.lengths)
    long = rows.where.sum(1) > 2
    if long.any():
        for name, metric in {"NDCG": ndcg, "Kendall's tau": kendall_tau, "top 1": top1}.items():
            values = metric(rows.rewards[long], rows.labels[long], rows.where[long])
            estimates[f"{name} of lists"] = mean_over_rows(values[~values.isnan()].tolist())
    return estimates


def _of_scores(rows: Scored) -> Figures:
    """The figures of a policy that scores with a head of its own."""
    return {
        "accuracy": pair_accuracy(rows, rows.margins),
        "margin": mean_over_rows(rows.gaps(rows.rewards).tolist()),
        **_sides(rows, "score of {}", rows.rewards),
    }


def _of_logps(rows: Scored, logps: Float[Tensor, "B K"]) -> Figures:
    """The figures of a language model, against its reference where there is one."""
    lone = rows.ref_logps is not None and rows.reward.against_reference and bool(rows.sides.lone.any())
    signs = {"sign of the reward is right": _signs(rows)} if lone else {}
    estimates = {**signs, "ranking accuracy": accuracy(rows, logps)}
    if rows.ref_logps is not None:
        change = logps - rows.ref_logps
        ends = [rows.ends.take(change, side) for side in ("chosen", "rejected")]
        estimates = {"implicit accuracy": accuracy(rows, rows.rewards), **estimates}
        estimates["reference ranking accuracy"] = accuracy(rows, rows.ref_logps)
        estimates |= _margin(rows)
        estimates |= _sides(rows, "log-ratio of {}, nats", change)
        fell = displaced(*ends).double().tolist()
        estimates["displaced (chosen fell, margin grew)"] = share(fell, [1.0] * len(fell))
    else:
        if rows.reward.per_token:
            estimates = {"implicit accuracy": accuracy(rows, rows.rewards), **estimates, **_margin(rows)}
        estimates |= _sides(rows, "log-prob of {}, nats", logps)
    return estimates


def _margin(rows: Scored) -> Figures:
    margins = rows.gaps(rows.rewards).tolist()
    return {f"implicit reward margin, {rows.reward.unit}": mean_over_rows(margins)}


def _sides(rows: Scored, name: str, values: Float[Tensor, "B K"]) -> Figures:
    return {
        name.format(side): mean_over_rows(rows.sides.take(values, side).tolist())
        for side in ("chosen", "rejected")
    }


def _signs(rows: Scored) -> Estimate:
    right = rows.sides.signs_right(rows.rewards).tolist()
    return share(right, [1.0] * len(right))


def accuracy(rows: Scored, values: Float[Tensor, "B K"]) -> Estimate:
    """The share of strictly ordered pairs that the values rank rightly, a tie counting one half."""
    return pair_accuracy(rows, rows.gaps(values, every=True))


def pair_accuracy(rows: Scored, margins: Float[Tensor, "P"]) -> Estimate:
    """The share of strictly ordered pairs in which chosen leads by a margin above 0, a tie counting one half."""
    right = wins(margins, torch.zeros_like(margins))
    sums, counts = margins.new_zeros(2, len(rows.ids))
    sums = sums.index_add(0, rows.pairs.list, right)
    counts = counts.index_add(0, rows.pairs.list, torch.ones_like(right))
    return share(sums.tolist(), counts.tolist())
