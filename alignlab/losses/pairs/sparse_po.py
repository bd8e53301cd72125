"""SparsePO, arXiv:2410.05102: token-level preference optimization under masks."""

from collections.abc import Callable, Mapping
from functools import partial

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from alignlab.errors import ConfigError, one_of
from alignlab.settings import NonNegative, PositiveNumber

Tokens = Float[Tensor, "P L"]
Sides = tuple[Tokens, Tokens]
"""Chosen and rejected."""


def sparse_po(
    *, mask: str = "common", beta: PositiveNumber = 0.1, l1_u: NonNegative = 0.001, l1_d: NonNegative = 0.001
) -> Callable[..., Float[Tensor, "P"]]:
    """SparsePO, arXiv:2410.05102: DPO whose tokens count by masks on log-ratio (u) and KL (d).

    -log sigmoid(beta * (u_w - u_l + d_w - d_l)) + l1_u * |masks of u| + l1_d * |masks of d|, where u sums
    mask * token_logratio, and d sums mask * KL(reference || policy) over the tokens of a side.

    The `mask` common is learned for both (it counts in both l1 terms), independent learns one for each, both
    from the reference's hidden states; activations (MaPO) takes the mask from the reference's mean
    activations and learns nothing (the l1 terms are left out). With masks of 1 the loss is `tdpo1`, with 1
    for u and 0 for d token-level DPO. The paper's dropout of 0.01 in the mask is left out, since scores are
    to be reproducible; the paper trains the mask with weight decay 0.01.
    """
    if one_of("mask", mask, ("common", "independent", "activations")) == "activations":
        return partial(activation_masked, beta=beta)
    return Sparse(masks=1 if mask == "common" else 2, beta=beta, l1_u=l1_u, l1_d=l1_d)


def sparse_loss(
    logratios: Sides,
    divergences: Sides,
    u_masks: Sides,
    d_masks: Sides,
    *,
    beta: float,
    l1_u: float,
    l1_d: float,
) -> Float[Tensor, "P"]:
    """The loss under given masks, one value a pair; every argument is (chosen, rejected).

    >>> one, none = torch.ones(1, 2), torch.zeros(1, 2)
    >>> sparse_loss((one / 2, none), (none, none), (one, one), (one, one), beta=1.0, l1_u=0.0, l1_d=0.1)
    tensor([0.7133])
    """
    margins_P = _difference(u_masks, logratios) + _difference(d_masks, divergences)
    penalties_P = l1_u * _size(u_masks) + l1_d * _size(d_masks)
    return penalties_P - F.logsigmoid(beta * margins_P)


def masks_from(activations: Float[Tensor, "P L 3 N"], where: Bool[Tensor, "P L"]) -> Float[Tensor, "P L"]:
    """The mask of MaPO: each activation rescaled to [0, 1] over its sequence, then the mean of all.

    The z-score that the paper takes before does not change what comes out. An activation that is the same
    on all tokens tells none from the others, and gives 1. No gradient flows through the mask.

    >>> one_layer = torch.tensor([0.0, 1.0, 4.0]).reshape(1, 3, 1, 1).expand(1, 3, 3, 1)
    >>> masks_from(one_layer, torch.ones(1, 3, dtype=torch.bool))
    tensor([[0.0000, 0.2500, 1.0000]])
    """
    activations = activations.detach()
    real = where[:, :, None, None]
    low = activations.masked_fill(~real, torch.inf).amin(dim=1, keepdim=True)
    high = activations.masked_fill(~real, -torch.inf).amax(dim=1, keepdim=True)
    spread = torch.where(high > low, high - low, torch.ones_like(high))
    scaled = torch.where(high > low, (activations - low) / spread, torch.ones_like(activations))
    return scaled.mean(dim=(2, 3)).masked_fill(~where, 0)


def activation_masked(
    chosen_token_logratios: Tokens,
    rejected_token_logratios: Tokens,
    chosen_token_kl_forward: Tokens,
    rejected_token_kl_forward: Tokens,
    chosen_token_where: Bool[Tensor, "P L"],
    rejected_token_where: Bool[Tensor, "P L"],
    chosen_ref_activations: Float[Tensor, "P L 3 N"],
    rejected_ref_activations: Float[Tensor, "P L 3 N"],
    *,
    beta: PositiveNumber = 0.1,
) -> Float[Tensor, "P"]:
    """The MaPO loss of each pair, `[P]`: SparsePO with one mask from the reference's activations."""
    masks = (
        masks_from(chosen_ref_activations, chosen_token_where),
        masks_from(rejected_ref_activations, rejected_token_where),
    )
    return sparse_loss(
        (chosen_token_logratios, rejected_token_logratios),
        (chosen_token_kl_forward, rejected_token_kl_forward),
        masks,
        masks,
        beta=beta,
        l1_u=0.0,
        l1_d=0.0,
    )


class MaskNetwork(nn.Module):
    """relu(mixer . [relu(w_n . LayerNorm(h_n) + b_n) for each layer n]), a mask value a token.

    It starts at 1 on every token, so that the loss starts as TDPO1 (plus the l1 terms).
    """

    def __init__(self, layers: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(layers, width))
        self.bias = nn.Parameter(torch.ones(layers))
        self.mixer = nn.Parameter(torch.full((layers,), 1 / layers))

    def forward(self, hidden: Float[Tensor, "P L N D"], where: Bool[Tensor, "P L"]) -> Float[Tensor, "P L"]:
        """0 outside `where`."""
        normed = F.layer_norm(hidden.detach().to(self.weight.dtype), self.weight.shape[1:])
        units = F.relu((normed * self.weight).sum(dim=-1) + self.bias)
        return F.relu(units @ self.mixer).masked_fill(~where, 0)


class Sparse(nn.Module):
    """SparsePO with learned masks; `bind` makes them, once the model's sizes are known."""

    def __init__(self, *, masks: int, beta: float, l1_u: float, l1_d: float) -> None:
        super().__init__()
        self.masks, self.settings = masks, {"beta": beta, "l1_u": l1_u, "l1_d": l1_d}
        self.size: tuple[int, ...] = ()
        self.networks = nn.ModuleList()

    def bind(self, sizes: Mapping[str, tuple[int, ...]]) -> None:
        """Make the masks for `sizes["ref_layers"]` = (layers, width); the same sizes again change nothing."""
        if self.size != tuple(sizes["ref_layers"]):
            self.size = layers, width = tuple(sizes["ref_layers"])
            self.networks = nn.ModuleList(MaskNetwork(layers, width) for _ in range(self.masks))

    def forward(
        self,
        chosen_token_logratios: Tokens,
        rejected_token_logratios: Tokens,
        chosen_token_kl_forward: Tokens,
        rejected_token_kl_forward: Tokens,
        chosen_token_where: Bool[Tensor, "P L"],
        rejected_token_where: Bool[Tensor, "P L"],
        chosen_ref_layers: Float[Tensor, "P L N D"],
        rejected_ref_layers: Float[Tensor, "P L N D"],
    ) -> Float[Tensor, "P"]:
        """The loss of each pair, `[P]`."""
        if not self.networks:
            raise ConfigError(
                "sparse_po learns masks on the hidden states of the reference: bind it to a model first, "
                "bind({'ref_layers': (layers, width)})"
            )
        masks = [
            (net(chosen_ref_layers, chosen_token_where), net(rejected_ref_layers, rejected_token_where))
            for net in self.networks
        ]
        return sparse_loss(
            (chosen_token_logratios, rejected_token_logratios),
            (chosen_token_kl_forward, rejected_token_kl_forward),
            masks[0],
            masks[-1],
            **self.settings,
        )


def _difference(masks: Sides, values: Sides) -> Float[Tensor, "P"]:
    """Masked sum of the chosen side minus that of the rejected."""
    return (masks[0] * values[0]).sum(dim=1) - (masks[1] * values[1]).sum(dim=1)


def _size(masks: Sides) -> Float[Tensor, "P"]:
    return masks[0].abs().sum(dim=1) + masks[1].abs().sum(dim=1)
