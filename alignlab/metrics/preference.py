"""What preference training is watched by. Every metric is a `Part`, so batches add up."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from alignlab.objectives.pairs import all_pairs, best_worst
from alignlab.types import Part


def preference_metrics(
    *,
    logps: Float[Tensor, "B K"],
    lengths: Float[Tensor, "B K"],
    labels: Float[Tensor, "B K"],
    where: Bool[Tensor, "B K"],
    beta: float,
    ref_logps: Float[Tensor, "B K"] | None = None,
    kl_reverse: Float[Tensor, "B K"] | None = None,
) -> dict[str, Part]:
    """Metrics of a micro-batch.

    Chosen and rejected are the best and the worst response of a list; accuracies are over all
    strictly ordered pairs, a tie counting one half. `rewards` are beta * logratio (beta * logp
    without a reference), in nats. `ranking_accuracy` asks the policy alone (arXiv:2405.19534).
    `kl` is the mean log-ratio on the data's responses: the k1 estimate of the KL, on responses that
    the policy did not draw, so it may be negative. `kl_exact`, where the divergence is at hand, is
    KL(policy || reference) over the vocabulary, summed over the positions of those responses.
    """
    logratios = logps if ref_logps is None else logps - ref_logps
    rewards = beta * logratios
    ends, every = best_worst(labels, where), all_pairs(labels, where)
    metrics = {}
    for name, values in {"rewards": rewards, "logps": logps, "lengths": lengths}.items():
        for side in ("chosen", "rejected"):
            metrics[f"{name}/{side}"] = _mean(ends.take(values, side))
    metrics["rewards/margin"] = _mean(ends.take(rewards, "chosen") - ends.take(rewards, "rejected"))
    for name, values in {"rewards/accuracy": rewards, "ranking_accuracy": logps}.items():
        metrics[name] = _mean(_wins(every.take(values, "chosen"), every.take(values, "rejected")))
    if ref_logps is not None:
        metrics["kl"] = _mean(logratios[where])
    if kl_reverse is not None:
        metrics["kl_exact"] = _mean(kl_reverse[where])
    return metrics


def _wins(better: Tensor, worse: Tensor) -> Tensor:
    """1 where the better response scores higher, 0.5 on a tie."""
    return (better > worse).to(better.dtype) + 0.5 * (better == worse)


def _mean(values: Tensor) -> Part:
    values = values.detach()
    return Part(values.sum(), torch.tensor(float(values.numel()), dtype=values.dtype, device=values.device))
