"""Entropy of the policy on the responses of the data, exact over the full vocabulary."""

from jaxtyping import Float
from torch import Tensor

from alignlab.regularizers.reduce import reduce_tokens


def entropy(
    entropy: Float[Tensor, "B K"], lengths: Float[Tensor, "B K"], *, reduction: str = "token_mean"
) -> tuple[Float[Tensor, "B K"], Float[Tensor, "B K"]]:
    """Entropy at the tokens of every response; a negative weight encourages it.

    -sum over v of policy(v) * log policy(v), in nats, at every response token.

    The `reduction` token_mean is the sum over all tokens of the global batch over their number, seq_mean the
    mean over responses of the mean over tokens, seq_sum the mean over responses of the sum over tokens.
    """
    return reduce_tokens(entropy, lengths, reduction)
