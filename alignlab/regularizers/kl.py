"""Divergence from the reference: exact on the data's responses, or estimated from log-ratios."""

from collections.abc import Callable
from functools import partial

from jaxtyping import Float
from torch import Tensor

from alignlab.errors import ConfigError, one_of
from alignlab.objective.numeric import k3
from alignlab.regularizers.reduce import reduce_tokens

Reduced = tuple[Float[Tensor, "B K"], Float[Tensor, "B K"]]


def kl(
    *,
    direction: str = "reverse",
    estimator: str = "exact",
    responses: str = "data",
    reduction: str = "token_mean",
) -> Callable[..., Tensor | Reduced]:
    """Divergence between policy and reference, `direction` reverse, forward, or jeffrey (their sum).

    sum over v of policy(v) * (log policy(v) - log ref(v)) at each response token (reverse), or of
    ref(v) * (log ref(v) - log policy(v)) (forward), in nats.

    `estimator` exact sums over the full vocabulary at the tokens of the data's responses. k1, k2
    and k3 (see `estimate`) know only the log-ratio of a whole response. They estimate
    KL(policy || reference) only at samples of the policy: `responses=samples` are, those of the data
    in general are not. Samples come without lengths, so that theirs is a mean of sequence sums; `recipe=online
    online.lists=data` draws some at each step, beside the lists of the data.

    Raises ConfigError where the options do not go together.
    """
    choices: dict[str, Callable[..., Reduced]] = {"reverse": reverse, "forward": forward, "jeffrey": jeffrey}
    function = choices[one_of("direction", direction, choices)]
    one_of("responses", responses, ("data", "samples"))
    if one_of("estimator", estimator, ("exact", "k1", "k2", "k3")) == "exact":
        if responses == "samples":
            raise ConfigError("estimator=exact: samples have log-ratios only; set estimator=k2 (or k1, k3)")
        return partial(function, reduction=reduction)
    if direction != "reverse":
        raise ConfigError(
            f"direction={direction}: {estimator} estimates the reverse divergence; set direction=reverse"
        )
    if responses == "data":
        return partial(estimated, estimator=estimator, reduction=reduction)
    if reduction != "seq_sum":
        raise ConfigError(f"reduction={reduction}: samples come without lengths; set reduction=seq_sum")
    return partial(sampled, estimator=estimator)


def reverse(
    kl_reverse: Float[Tensor, "B K"], lengths: Float[Tensor, "B K"], *, reduction: str = "token_mean"
) -> Reduced:
    """The reverse divergence KL(policy || reference), mode seeking, with the gradient of the policy's weights too."""
    return reduce_tokens(kl_reverse, lengths, reduction)


def forward(
    kl_forward: Float[Tensor, "B K"], lengths: Float[Tensor, "B K"], *, reduction: str = "token_mean"
) -> Reduced:
    """The forward divergence KL(reference || policy), mass covering."""
    return reduce_tokens(kl_forward, lengths, reduction)


def jeffrey(
    kl_reverse: Float[Tensor, "B K"],
    kl_forward: Float[Tensor, "B K"],
    lengths: Float[Tensor, "B K"],
    *,
    reduction: str = "token_mean",
) -> Reduced:
    """The Jeffrey divergence: both directions added, without a factor 1/2."""
    return reduce_tokens(kl_reverse + kl_forward, lengths, reduction)


def estimated(
    logratios: Float[Tensor, "B K"],
    lengths: Float[Tensor, "B K"],
    *,
    estimator: str = "k3",
    reduction: str = "token_mean",
) -> Reduced:
    """The estimated reverse divergence of each response of the data over its whole sequence, then reduced."""
    return reduce_tokens(estimate(logratios, estimator), lengths, reduction)


def sampled(
    sample_logps: Float[Tensor, "B M"], sample_ref_logps: Float[Tensor, "B M"], *, estimator: str = "k2"
) -> Float[Tensor, "B"]:
    """The estimated reverse divergence of each prompt, `[B]`: the mean over its samples."""
    return estimate(sample_logps - sample_ref_logps, estimator).mean(dim=1)


def estimate(logratios: Float[Tensor, "..."], estimator: str) -> Float[Tensor, "..."]:
    """KL(policy || reference) from log-ratios r of policy to reference, at samples of the policy.

    k1 = r: unbiased; its gradient is zero in expectation, so that it measures but cannot regularize.
    k2 = r^2 / 2: biased (little, near the reference); its gradient is that of the reverse KL.
    k3 = exp(-r) - 1 + r: unbiased and at least 0; its gradient is like that of the forward KL. Below
    r = -80 it is constant.

    The gradient flows through the log-probabilities of these samples, not through their choice.

    >>> import torch
    >>> estimate(torch.tensor([1.0, -0.5]), "k2")
    tensor([0.5000, 0.1250])
    """
    if one_of("estimator", estimator, ("k1", "k2", "k3")) == "k1":
        return logratios
    if estimator == "k2":
        return logratios.square() / 2
    return k3(logratios)
