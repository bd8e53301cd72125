"""Odds ratio preference optimization: a likelihood term and the odds of both responses."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from alignlab.losses.pairs.cpo import nll_of
from alignlab.objective.numeric import log1mexp, per_token
from alignlab.settings import NonNegative
from alignlab.types import Reports


def orpo(
    chosen_logps: Float[Tensor, "P"],
    rejected_logps: Float[Tensor, "P"],
    chosen_lengths: Float[Tensor, "P"],
    rejected_lengths: Float[Tensor, "P"],
    *,
    lam: NonNegative = 0.1,
    nll: str = "seq_mean",
) -> tuple[Float[Tensor, "P"], Reports]:
    """Odds ratio preference optimization, arXiv:2403.07691.

    NLL - lam * log sigmoid(log odds(chosen) - log odds(rejected)), odds(y) = p / (1 - p), p the geometric
    mean probability of the tokens of y.

    The NLL of the chosen response is the mean over its tokens (`nll="seq_mean"`), their sum
    (`"seq_sum"`), or left out (`"none"`). For the mean over all tokens of the batch, which the released
    code takes, set `nll=none` and add `regularizers=[sft]` at weight 1. That code also counts the
    prompt's tokens; here only responses count. The mean log-probability is held below -1e-6 nats, where
    the odds would be infinite.

    Reports `log_odds_ratio`, log odds(chosen) - log odds(rejected), and `nll`, that of the chosen response as it is
    reduced.

    >>> import torch
    >>> orpo(torch.tensor([-10.0]), torch.tensor([-10.0]), torch.tensor([10.0]), torch.tensor([10.0]))
    (tensor([1.0693]), {'log_odds_ratio': tensor([0.]), 'nll': tensor([1.])})
    """
    odds = _log_odds(chosen_logps, chosen_lengths) - _log_odds(rejected_logps, rejected_lengths)
    likelihood = nll_of(chosen_logps, chosen_lengths, nll)
    return likelihood - lam * F.logsigmoid(odds), {"log_odds_ratio": odds, "nll": likelihood}


def _log_odds(logps: Tensor, lengths: Tensor) -> Tensor:
    means = per_token(logps, lengths).clamp(max=-1e-6)
    return means - log1mexp(means)
