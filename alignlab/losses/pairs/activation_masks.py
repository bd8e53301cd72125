"""The masks of MaPO, arXiv:2410.05102: how active the reference is at each token, on a scale from 0 to 1."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def masks_from(activations: Float[Tensor, "P L *A"], where: Bool[Tensor, "P L"]) -> Float[Tensor, "P L"]:
    """The mask of MaPO: each activation rescaled to [0, 1] over its sequence, then the mean of all.

    The z-score that the paper takes before does not change what comes out. An activation that is the same
    on all tokens tells none from the others, and gives 1. No gradient flows through the mask.

    >>> one_layer = torch.tensor([0.0, 1.0, 4.0]).reshape(1, 3, 1, 1).expand(1, 3, 3, 1)
    >>> masks_from(one_layer, torch.ones(1, 3, dtype=torch.bool))
    tensor([[0.0000, 0.2500, 1.0000]])
    """
    return rescaled(activations.flatten(2), where).mean(dim=2).masked_fill(~where, 0)


def rescaled(activations: Float[Tensor, "P L A"], where: Bool[Tensor, "P L"]) -> Float[Tensor, "P L A"]:
    """Activations rescaled to [0, 1] over the tokens of each sequence, without gradient; 1 where all are the same."""
    activations, real = activations.detach(), where[:, :, None]
    low = activations.masked_fill(~real, torch.inf).amin(dim=1, keepdim=True)
    high = activations.masked_fill(~real, -torch.inf).amax(dim=1, keepdim=True)
    spread = torch.where(high > low, high - low, torch.ones_like(high))
    return torch.where(high > low, (activations - low) / spread, torch.ones_like(activations))


def masks_from_all(
    points: Float[Tensor, "P L 14 N"],
    ends: Float[Tensor, "P L 2"],
    logits: Float[Tensor, "P L"],
    where: Bool[Tensor, "P L"],
) -> Float[Tensor, "P L"]:
    """The mask of MaPO's released code, the mean of four kinds of activations.

    They are the MLP's hidden layer, six `points` of attention, the residual stream (seven points of every layer, the
    embeddings and the final norm: `ends`), and the mean logit; each point is rescaled as in `masks_from`.
    """
    residual = torch.cat([points[:, :, 7:].flatten(2), ends], dim=2)
    kinds = points[:, :, :1].flatten(2), points[:, :, 1:7].flatten(2), residual, logits[:, :, None]
    means = [rescaled(kind, where).mean(dim=2) for kind in kinds]
    return torch.stack(means, dim=2).mean(dim=2).masked_fill(~where, 0)
