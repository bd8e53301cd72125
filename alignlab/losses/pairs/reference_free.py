"""Pairwise losses without a reference."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from alignlab.errors import one_of
from alignlab.objective.numeric import PerPair, log1mexp, per_token


def slic(
    chosen_logps: Float[Tensor, "P"],
    rejected_logps: Float[Tensor, "P"],
    chosen_lengths: Float[Tensor, "P"],
    rejected_lengths: Float[Tensor, "P"],
    *,
    delta: float = 1.0,
    lam: float = 0.0,
    aggregate: str = "sum",
) -> Float[Tensor, "P"]:
    """Sequence likelihood calibration, SLiC-HF, arXiv:2305.10425 eq. 1.

    max(0, delta - chosen_logp + rejected_logp) - lam * chosen_logp. `aggregate="mean"` divides the
    calibrated log-probabilities by their lengths, as the first SLiC did. With delta = 1 it is `rso_hinge`
    with gamma = 1 and a uniform reference.

    >>> import torch
    >>> one = torch.ones(1)
    >>> slic(-12.5 * one, -14 * one, one, one, delta=2.0)
    tensor([0.5000])
    """
    margins = chosen_logps - rejected_logps
    if one_of("aggregate", aggregate, ("sum", "mean")) == "mean":
        margins = per_token(chosen_logps, chosen_lengths) - per_token(rejected_logps, rejected_lengths)
    return F.relu(delta - margins) - lam * chosen_logps


def simpo(
    chosen_logps: Float[Tensor, "P"],
    rejected_logps: Float[Tensor, "P"],
    chosen_lengths: Float[Tensor, "P"],
    rejected_lengths: Float[Tensor, "P"],
    *,
    beta: PerPair = 2.0,
    gamma: float = 1.0,
) -> Float[Tensor, "P"]:
    """Simple preference optimization, arXiv:2405.14734 eq. 6.

    -log sigmoid(beta * (chosen_logp / chosen_length - rejected_logp / rejected_length) - gamma).
    The released code's `gamma_beta_ratio` is gamma / beta.

    >>> import torch
    >>> simpo(torch.tensor([-10.0]), torch.tensor([-24.0]), torch.tensor([10.0]), torch.tensor([12.0]))
    tensor([0.3133])
    """
    chosen = per_token(chosen_logps, chosen_lengths)
    rejected = per_token(rejected_logps, rejected_lengths)
    return -F.logsigmoid(beta * (chosen - rejected) - gamma)


def cpo(
    chosen_logps: Float[Tensor, "P"],
    rejected_logps: Float[Tensor, "P"],
    chosen_lengths: Float[Tensor, "P"],
    *,
    beta: PerPair = 0.1,
    alpha: float = 1.0,
    nll: str = "seq_sum",
) -> Float[Tensor, "P"]:
    """Contrastive preference optimization, arXiv:2401.08417.

    -log sigmoid(beta * (chosen_logp - rejected_logp)) + alpha * NLL, where the NLL of the chosen
    response is its sum over tokens as in the paper (`nll="seq_sum"`), their mean (`"seq_mean"`), or
    left out (`"none"`). For the mean over all tokens of the batch, which later code takes, set
    `nll=none` and add `regularizers=[sft]` at weight alpha. Without NLL it is `dpo` whose reference
    is uniform. A sum makes the NLL dwarf the preference: some 20 nats against 0.7.

    >>> import torch
    >>> cpo(torch.tensor([-12.0]), torch.tensor([-17.0]), torch.tensor([10.0]), beta=0.2)
    tensor([12.3133])
    """
    losses = -F.logsigmoid(beta * (chosen_logps - rejected_logps))
    return losses + alpha * _nll(chosen_logps, chosen_lengths, nll)


def orpo(
    chosen_logps: Float[Tensor, "P"],
    rejected_logps: Float[Tensor, "P"],
    chosen_lengths: Float[Tensor, "P"],
    rejected_lengths: Float[Tensor, "P"],
    *,
    lam: float = 0.1,
    nll: str = "seq_mean",
) -> Float[Tensor, "P"]:
    """Odds ratio preference optimization, arXiv:2403.07691.

    NLL - lam * log sigmoid(log odds(chosen) - log odds(rejected)), odds(y) = p / (1 - p), p the
    geometric mean probability of the tokens of y. The NLL of the chosen response is the mean over
    its tokens (`nll="seq_mean"`), their sum (`"seq_sum"`), or left out (`"none"`). For the mean over
    all tokens of the batch, which the released code takes, set `nll=none` and add
    `regularizers=[sft]` at weight 1. That code also counts the prompt's tokens; here only responses
    count. The mean log-probability is held below -1e-6 nats, where the odds would be infinite.

    >>> import torch
    >>> orpo(torch.tensor([-10.0]), torch.tensor([-10.0]), torch.tensor([10.0]), torch.tensor([10.0]))
    tensor([1.0693])
    """
    odds = _log_odds(chosen_logps, chosen_lengths) - _log_odds(rejected_logps, rejected_lengths)
    return _nll(chosen_logps, chosen_lengths, nll) - lam * F.logsigmoid(odds)


def _log_odds(logps: Tensor, lengths: Tensor) -> Tensor:
    means = per_token(logps, lengths).clamp(max=-1e-6)
    return means - log1mexp(means)


def _nll(logps: Tensor, lengths: Tensor, reduction: str) -> Tensor:
    """Negative log-likelihood of each response, in nats."""
    if one_of("nll", reduction, ("seq_sum", "seq_mean", "none")) == "none":
        return torch.zeros_like(logps)
    return -logps if reduction == "seq_sum" else -per_token(logps, lengths)
