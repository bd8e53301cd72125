"""Contrastive search (SimCTG, arXiv:2202.06417, section 3.2): likely tokens that do not repeat what was said."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from alignlab.sampling.context import Context
from alignlab.sampling.settings import Sampling


def look_ahead(context: Context, how: Sampling) -> tuple[Int[Tensor, "R"], Float[Tensor, "R"]]:
    """Return the next token of each row with the model's log-probability of it; the context has read it.

    All candidates of a row are read, at the cost of as many rows, and the cache of the chosen one stays.
    """
    logits = context.logits if context.logits.dtype == torch.float64 else context.logits.float()
    logps, tokens = logits.log_softmax(-1).topk(min(how.candidates, logits.shape[-1]))
    rows, count = tokens.shape
    before = context.mask
    context.select(torch.arange(rows, device=tokens.device).repeat_interleave(count))
    context.advance(tokens.flatten())
    assert context.seen is not None
    seen = context.seen.view(rows, count, *context.seen.shape[1:])
    penalty = similarity(seen[:, 0, :-1], seen[:, :, -1], before)
    best = worth(logps.exp(), penalty, how.alpha).argmax(-1)
    context.select(best + count * torch.arange(rows, device=tokens.device))
    tokens, logps = (values.gather(-1, best[:, None]).squeeze(-1) for values in (tokens, logps))
    return tokens, logps


def similarity(
    before: Float[Tensor, "R S D"], candidates: Float[Tensor, "R C D"], where: Tensor
) -> Float[Tensor, "R C"]:
    """Return the largest cosine of each candidate's hidden state with those of the tokens before it."""
    cosines = candidates @ before.transpose(1, 2)
    return cosines.masked_fill(~where[:, None, :], -torch.inf).amax(-1)


def worth(probs: Float[Tensor, "R C"], penalty: Float[Tensor, "R C"], alpha: float) -> Float[Tensor, "R C"]:
    """Return (1 - alpha) p - alpha s of each candidate, of which the largest is taken (equation 5)."""
    return (1 - alpha) * probs - alpha * penalty
