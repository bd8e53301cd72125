"""What preference training is watched by. Every metric is a `Part`, so batches add up."""

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from alignlab.metrics.chosen_rejected import Sides
from alignlab.metrics.ranking import kendall_tau, ndcg, top1, wins
from alignlab.objective.implicit_reward import ImplicitReward
from alignlab.objective.pair_selection import all_pairs
from alignlab.types import Part

FARTHEST = 20.0
"""Nats a token at which the exponent of k3 is cut, so that one response cannot make it infinite."""


def preference_metrics(
    *,
    lengths: Float[Tensor, "B K"],
    labels: Float[Tensor, "B K"],
    where: Bool[Tensor, "B K"],
    reward: ImplicitReward,
    logps: Float[Tensor, "B K"] | None = None,
    values: Float[Tensor, "B K"] | None = None,
    ref_logps: Float[Tensor, "B K"] | None = None,
    start_logps: Float[Tensor, "B K"] | None = None,
    kl_reverse: Float[Tensor, "B K"] | None = None,
) -> dict[str, Part]:
    """Metrics of a micro-batch.

    Chosen and rejected are the best and the worst response of a list; accuracies are over all
    strictly ordered pairs, a tie counting one half. Of lone responses, chosen are the desirable ones
    (label above 0.5), and `rewards/accuracy` is how often a reward against the reference has the sign
    that the label asks for. `rewards` are those of the objective: beta * logratio in nats, beta * logp
    without a reference, over the length in tokens where the loss divides by it; of a value model, its values.
    `ranking_accuracy` asks the policy alone (arXiv:2405.19534), by its log-probabilities, else by its values.
    `logps_change` is the change since the start, where log-probabilities of the start are given.
    `kl` is the mean log-ratio on the data's responses: the k1 estimate of the KL, on responses that
    the policy did not draw, so it may be negative; `kl_k3` is the mean of the sums over tokens of
    exp(-r) - 1 + r, each token taken to bear an equal share r of its response's log-ratio, as it has no
    number of its own here: never negative, and at most the sum by token. `kl_exact`, where at hand, is
    KL(policy || reference) over the vocabulary, summed over the positions of those responses.
    `lists/...` are over lists of more than two, by the order of their rewards.
    """
    scores = {"logps": logps, "values": values, "ref_logps": ref_logps}
    known = {name: score for name, score in scores.items() if score is not None}
    rewards = reward.of({**known, "lengths": lengths})
    sides, every = Sides.of(labels, where), all_pairs(labels, where)
    metrics = {}
    by_response = {"rewards": rewards, **({} if logps is None else {"logps": logps}), "lengths": lengths}
    if logps is not None and start_logps is not None:
        by_response["logps_change"] = logps - start_logps
    for name, value in by_response.items():
        for side in ("chosen", "rejected"):
            metrics[f"{name}/{side}"] = _mean(sides.take(value, side))
    metrics["rewards/margin"] = _mean(
        sides.ends.take(rewards, "chosen") - sides.ends.take(rewards, "rejected")
    )
    own = rewards if logps is None else logps
    right, ranked = (wins(every.take(x, "chosen"), every.take(x, "rejected")) for x in (rewards, own))
    if ref_logps is not None and reward.against_reference:
        right = torch.cat([right, sides.signs_right(rewards)])
    metrics |= {"rewards/accuracy": _mean(right), "ranking_accuracy": _mean(ranked)}
    if logps is not None and ref_logps is not None:
        logratios = logps - ref_logps
        metrics["kl"] = _mean(logratios[where])
        tokens = lengths[where].clamp(min=1)
        metrics["kl_k3"] = _mean(tokens * k3(logratios[where] / tokens))
    if kl_reverse is not None:
        metrics["kl_exact"] = _mean(kl_reverse[where])
    if where.shape[1] > 2:
        metrics |= _of_lists(rewards, labels, where)
    return metrics


def with_margin(values: Mapping[str, float]) -> dict[str, float]:
    """Metrics with `rewards/margin` where no list had two responses: the mean of chosen less that of rejected."""
    sides = [values.get(f"rewards/{side}") for side in ("chosen", "rejected")]
    known = {} if None in sides else {"rewards/margin": sides[0] - sides[1]}  # type: ignore[operator]
    return {**known, **values}


def k3(logratios: Float[Tensor, "*N"]) -> Float[Tensor, "*N"]:
    """exp(-r) - 1 + r of tokens' log-ratios r in nats: not negative, and without bias on samples of the policy."""
    return torch.expm1(-logratios.clamp(min=-FARTHEST)) + logratios.clamp(min=-FARTHEST)


def _of_lists(
    rewards: Float[Tensor, "B K"], labels: Float[Tensor, "B K"], where: Bool[Tensor, "B K"]
) -> dict[str, Part]:
    long = where.sum(1) > 2
    found = {}
    for name, metric in {"ndcg": ndcg, "kendall_tau": kendall_tau, "top1": top1}.items():
        values = metric(rewards[long], labels[long], where[long])
        found[f"lists/{name}"] = _mean(values[~values.isnan()])
    return found


def _mean(values: Tensor) -> Part:
    values = values.detach()
    return Part(values.sum(), torch.tensor(float(values.numel()), dtype=values.dtype, device=values.device))
