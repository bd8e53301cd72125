"""Divergence from the reference on the responses of the data, exact over the full vocabulary."""

from collections.abc import Callable
from functools import partial

from jaxtyping import Float
from torch import Tensor

from alignlab.errors import one_of
from alignlab.regularizers.sft import reduce_tokens

Reduced = tuple[Float[Tensor, "B K"], Float[Tensor, "B K"]]


def kl(*, direction: str = "reverse", reduction: str = "token_mean") -> Callable[..., Reduced]:
    """The divergence of that direction: reverse, forward, or jeffrey (their sum)."""
    choices: dict[str, Callable[..., Reduced]] = {"reverse": reverse, "forward": forward, "jeffrey": jeffrey}
    return partial(choices[one_of("direction", direction, choices)], reduction=reduction)


def reverse(
    kl_reverse: Float[Tensor, "B K"], lengths: Float[Tensor, "B K"], *, reduction: str = "token_mean"
) -> Reduced:
    """KL(policy || reference): mode seeking; its gradient flows through the policy's weights too."""
    return reduce_tokens(kl_reverse, lengths, reduction)


def forward(
    kl_forward: Float[Tensor, "B K"], lengths: Float[Tensor, "B K"], *, reduction: str = "token_mean"
) -> Reduced:
    """KL(reference || policy): mass covering."""
    return reduce_tokens(kl_forward, lengths, reduction)


def jeffrey(
    kl_reverse: Float[Tensor, "B K"],
    kl_forward: Float[Tensor, "B K"],
    lengths: Float[Tensor, "B K"],
    *,
    reduction: str = "token_mean",
) -> Reduced:
    """Both directions added, without a factor 1/2."""
    return reduce_tokens(kl_reverse + kl_forward, lengths, reduction)
