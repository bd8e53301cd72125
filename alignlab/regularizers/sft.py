"""Supervised fine-tuning on the best response of each list."""

from collections.abc import Callable
from functools import partial

from jaxtyping import Bool, Float
from torch import Tensor

from alignlab.regularizers.reduce import reduce_tokens, take_best
from alignlab.settings import ShareBelowOne

Reduced = tuple[Float[Tensor, "B"], Float[Tensor, "B"]]


def sft(*, reduction: str = "token_mean", label_smoothing: ShareBelowOne = 0.0) -> Callable[..., Reduced]:
    """Negative log-likelihood of the best response; smoothed where `label_smoothing` is above 0.

    -logp of the best response (the first of equals), in nats; with a smoothing e,
    -(1 - e) * logp - e * mean over the vocabulary of log policy(v) at each token.
    """
    if label_smoothing == 0:
        return partial(plain, reduction=reduction)
    return partial(smoothed, reduction=reduction, label_smoothing=label_smoothing)


def plain(
    logps: Float[Tensor, "B K"],
    lengths: Float[Tensor, "B K"],
    labels: Float[Tensor, "B K"],
    where: Bool[Tensor, "B K"],
    *,
    reduction: str = "token_mean",
) -> Reduced:
    """Negative log-likelihood of the best response (the first of equals), in nats.

    The `reduction` token_mean is the sum over all tokens of the global batch over their number, seq_mean the
    mean over lists of the mean over tokens, seq_sum the mean over lists of the sum over tokens.
    """
    return reduce_tokens(-take_best(logps, labels, where), take_best(lengths, labels, where), reduction)


def smoothed(
    logps: Float[Tensor, "B K"],
    uniform_logps: Float[Tensor, "B K"],
    lengths: Float[Tensor, "B K"],
    labels: Float[Tensor, "B K"],
    where: Bool[Tensor, "B K"],
    *,
    reduction: str = "token_mean",
    label_smoothing: ShareBelowOne = 0.1,
) -> Reduced:
    """Cross-entropy of the best response with targets of which a share is spread evenly over the vocabulary.

    -(1 - label_smoothing) * logp - label_smoothing * uniform_logp at each token, as torch's
    cross-entropy has it.
    """
    mixed_BK = (1 - label_smoothing) * logps + label_smoothing * uniform_logps
    return plain(mixed_BK, lengths, labels, where, reduction=reduction)
