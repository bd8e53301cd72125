"""The distribution that tokens are drawn from, and a draw from it by keyed noise."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from alignlab.sampling.noise import gumbel
from alignlab.sampling.settings import Sampling


def distribution(logits: Float[Tensor, "R V"], how: Sampling) -> Float[Tensor, "R V"]:
    """Return the log-probabilities that `how` draws from, in float32 or better; -inf for tokens that are left out.

    Tokens that tie with the last one that `top_k` keeps are kept too.
    """
    logits = logits if logits.dtype == torch.float64 else logits.float()
    if how.temperature != 1.0:
        smallest = torch.finfo(logits.dtype).tiny
        logits = (logits - logits.amax(-1, keepdim=True)) / max(how.temperature, smallest)  # no inf - inf
    if 0 < how.top_k < logits.shape[-1]:
        least = logits.topk(how.top_k).values[:, -1:]
        logits = logits.masked_fill(logits < least, -torch.inf)
    if how.top_p < 1:
        ordered, places = logits.softmax(-1).sort(descending=True, stable=True)
        before = ordered.cumsum(-1) - ordered
        beyond = torch.zeros_like(logits, dtype=torch.bool).scatter(
            -1, places, (before >= how.top_p) & (before > 0)
        )
        logits = logits.masked_fill(beyond, -torch.inf)
    return logits.log_softmax(-1)


def choose(
    logits: Float[Tensor, "R V"],
    how: Sampling,
    keys: Int[Tensor, "R 2"],
    samples: Int[Tensor, "R"],
    places: Int[Tensor, "R"],
) -> tuple[Int[Tensor, "R"], Float[Tensor, "R"]]:
    """Return the next token of each row, and its log-probability in the distribution drawn from.

    The same noise is added to the very log-probabilities that are returned (the Gumbel-max trick).
    """
    logps = distribution(logits, how)
    noisy = logps + gumbel(keys, samples, places, logps.shape[-1]) if how.decoder == "sample" else logps
    tokens = noisy.argmax(-1)
    return tokens, logps.gather(-1, tokens[:, None]).squeeze(-1)
