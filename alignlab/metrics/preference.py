"""Metrics of preference training by micro-batch; every metric is a `Part`, so that batches add up."""

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from alignlab.metrics.chosen_rejected import ChosenRejected
from alignlab.metrics.ranking import kendall_tau, ndcg, top1
from alignlab.metrics.ranking import wins as won
from alignlab.objective import numeric
from alignlab.objective.implicit_reward import ImplicitReward
from alignlab.objective.pair_selection import all_pairs, decided
from alignlab.types import Part

FARTHEST = 20.0
"""The log-ratio in nats a token at which the exponent of k3 is cut, so that no response makes it infinite."""


def preference_metrics(
    *,
    lengths: Float[Tensor, "B K"],
    labels: Float[Tensor, "B K"],
    where: Bool[Tensor, "B K"],
    reward: ImplicitReward,
    logps: Float[Tensor, "B K"] | None = None,
    values: Float[Tensor, "B K"] | None = None,
    preferences: Float[Tensor, "B K K"] | None = None,
    wins: Float[Tensor, "B K K"] | None = None,
    ref_logps: Float[Tensor, "B K"] | None = None,
    start_logps: Float[Tensor, "B K"] | None = None,
    kl_reverse: Float[Tensor, "B K"] | None = None,
    rationale_logps: Float[Tensor, "B"] | None = None,
    sample_logps: Float[Tensor, "B M"] | None = None,
    sample_ref_logps: Float[Tensor, "B M"] | None = None,
) -> dict[str, Part]:
    """The metrics of a micro-batch, by name.

    Chosen and rejected are the best and the worst response of a list; accuracies are over all
    strictly ordered pairs, a tie counting one half. Of lone responses, chosen are the desirable ones
    (label above 0.5), and `rewards/accuracy` is how often a reward against the reference has the sign
    that the label asks for. `rewards` are the objective's implicit ones: beta * logratio in nats, or beta * logp
    without a reference, divided by the length in tokens where the loss is; of a reward model, its values, and of a
    preference model the mean scores against the list, while its accuracies go by the scores of pairs, and by who was
    preferred to whom in `wins`.
    `ranking_accuracy` is that of the policy's log-probabilities alone (arXiv:2405.19534), else of its values.
    `logps_change` is the change since the start, in nats, where `start_logps` are given.
    `logratio` is the mean log-ratio to the reference on the data's responses: no KL, since the policy did not
    draw them, and of either sign; `logratio_k3` is the mean of the sums over tokens of
    exp(-r) - 1 + r, where each token bears an equal share r of its response's log-ratio, since none is
    known for it: never negative, and at most the sum by token. `kl_exact`, where `kl_reverse` is given, is
    KL(policy || reference) over the vocabulary, summed over the positions of those responses. `rationale_nll`, where
    `rationale_logps` are given, is the mean negative log-likelihood of the lists' rationales, in nats. `kl_sampled`,
    where scores of the policy's own samples are given, is their mean log-ratio, an unbiased estimate of
    KL(policy || reference), in nats.
    `lists/...` are over lists of more than two, by the order of their rewards.
    """
    scores = {"logps": logps, "values": values, "preferences": preferences, "ref_logps": ref_logps}
    known = {"lengths": lengths, **{k: v for k, v in scores.items() if v is not None}}
    rewards = reward.of(known)
    sides = ChosenRejected.of(labels, where)
    every = all_pairs(labels, where) if wins is None else decided(wins, where)
    metrics = {}
    quantities = {"rewards": rewards, **({} if logps is None else {"logps": logps}), "lengths": lengths}
    if logps is not None and start_logps is not None:
        quantities["logps_change"] = logps - start_logps
    for name, value in quantities.items():
        for side in ("chosen", "rejected"):
            metrics[f"{name}/{side}"] = _mean(sides.take(value, side))
    metrics["rewards/margin"] = _mean(reward.margins(known, sides.ends))
    right = ranked = won(margins := reward.margins(known, every), torch.zeros_like(margins))
    if logps is not None:
        ranked = won(every.take(logps, "chosen"), every.take(logps, "rejected"))
    if ref_logps is not None and reward.against_reference:
        right = torch.cat([right, sides.signs_right(rewards)])
    metrics |= {"rewards/accuracy": _mean(right), "ranking_accuracy": _mean(ranked)}
    if logps is not None and ref_logps is not None:
        metrics |= _of_logratios((logps - ref_logps)[where], lengths[where])
    if kl_reverse is not None:
        metrics["kl_exact"] = _mean(kl_reverse[where])
    if rationale_logps is not None:
        metrics["rationale_nll"] = _mean(-rationale_logps)
    if sample_logps is not None and sample_ref_logps is not None:
        metrics["kl_sampled"] = _mean((sample_logps - sample_ref_logps).flatten())
    if where.shape[1] > 2:
        metrics |= _of_lists(rewards, labels, where)
    return metrics


def with_margin(values: Mapping[str, float]) -> dict[str, float]:
    """Metrics with `rewards/margin` added where no list had two responses: mean of chosen minus mean of rejected."""
    sides = [values.get(f"rewards/{side}") for side in ("chosen", "rejected")]
    margin = {} if None in sides else {"rewards/margin": sides[0] - sides[1]}  # type: ignore[operator]
    return {**margin, **values}


def k3(logratios: Float[Tensor, "*N"]) -> Float[Tensor, "*N"]:
    """The k3 estimate exp(-r) - 1 + r of the KL, from log-ratios r of tokens in nats: never negative."""
    return numeric.k3(logratios.clamp(min=-FARTHEST))


def _of_logratios(logratios: Float[Tensor, "N"], lengths: Float[Tensor, "N"]) -> dict[str, Part]:
    tokens = lengths.clamp(min=1)
    return {"logratio": _mean(logratios), "logratio_k3": _mean(tokens * k3(logratios / tokens))}


def _of_lists(
    rewards: Float[Tensor, "B K"], labels: Float[Tensor, "B K"], where: Bool[Tensor, "B K"]
) -> dict[str, Part]:
    long = where.sum(1) > 2
    metrics = {}
    for name, metric in {"ndcg": ndcg, "kendall_tau": kendall_tau, "top1": top1}.items():
        values = metric(rewards[long], labels[long], where[long])
        metrics[f"lists/{name}"] = _mean(values[~values.isnan()])
    return metrics


def _mean(values: Tensor) -> Part:
    values = values.detach()
    return Part(values.sum(), torch.tensor(float(values.numel()), dtype=values.dtype, device=values.device))
