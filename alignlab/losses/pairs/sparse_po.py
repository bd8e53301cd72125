"""SparsePO, arXiv:2410.05102: token-level preference optimization under masks."""

from collections.abc import Callable, Mapping
from functools import partial

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from alignlab.errors import ConfigError, one_of
from alignlab.losses.pairs.activation_masks import masks_from, masks_from_all
from alignlab.settings import NonNegative, PositiveNumber
from alignlab.types import Reported, Reports

Tokens = Float[Tensor, "P L"]
Sides = tuple[Tokens, Tokens]
"""Chosen and rejected."""
Where = tuple[Bool[Tensor, "P L"], Bool[Tensor, "P L"]]
Masked = tuple[Float[Tensor, "P"], Reports]
MASKS = ("common", "independent", "activations", "all_activations")


def sparse_po(
    *, mask: str = "common", beta: PositiveNumber = 0.1, l1_u: NonNegative = 0.001, l1_d: NonNegative = 0.001
) -> Callable[..., Masked]:
    """SparsePO, arXiv:2410.05102: DPO whose tokens count by masks on log-ratio (u) and KL (d).

    -log sigmoid(beta * (u_w - u_l + d_w - d_l)) + l1_u * |masks of u| + l1_d * |masks of d|, where u sums
    mask * token_logratio, and d sums mask * KL(reference || policy) over the tokens of a side.

    The `mask` common is learned for both (it counts in both l1 terms), independent learns one for each, both
    from the reference's hidden states; activations (MaPO) takes the mask from the reference's mean
    activations, of the attention block, the MLP block and the whole of each layer, and learns nothing (the
    l1 terms are left out); all_activations takes it from every point that the released code reads. With masks
    of 1 the loss is `tdpo1`, with 1 for u and 0 for d token-level DPO. Learned masks are not bounded by 1. The
    paper's dropout of 0.01 in the mask is left out, since scores are to be reproducible; the paper trains
    the mask with weight decay 0.01.

    Reports `u_sparsity_chosen`, `u_sparsity_rejected`, `d_sparsity_chosen` and `d_sparsity_rejected`, the share of
    tokens whose mask is 0, of each mask and side.
    """
    if one_of("mask", mask, MASKS) == "activations":
        return partial(activation_masked, beta=beta)
    if mask == "all_activations":
        return partial(all_activations_masked, beta=beta)
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


def sparsity(u_masks: Sides, d_masks: Sides, where: Where) -> Reports:
    """The reports of both masks: for each side the tokens whose mask is 0, and all of its tokens."""
    shares: dict[str, Reported] = {}
    for name, masks in {"u": u_masks, "d": d_masks}.items():
        for side, mask, inside in zip(("chosen", "rejected"), masks, where, strict=True):
            shares[f"{name}_sparsity_{side}"] = ((mask == 0) & inside).sum(dim=1), inside.sum(dim=1)
    return shares


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
) -> Masked:
    """The MaPO loss of each pair, `[P]`: SparsePO with one mask from the reference's activations."""
    where = chosen_token_where, rejected_token_where
    activations = chosen_ref_activations, rejected_ref_activations
    masks = masks_from(activations[0], where[0]), masks_from(activations[1], where[1])
    logratios = chosen_token_logratios, rejected_token_logratios
    divergences = chosen_token_kl_forward, rejected_token_kl_forward
    return mapo_loss(logratios, divergences, masks, where, beta=beta)


def all_activations_masked(
    chosen_token_logratios: Tokens,
    rejected_token_logratios: Tokens,
    chosen_token_kl_forward: Tokens,
    rejected_token_kl_forward: Tokens,
    chosen_token_where: Bool[Tensor, "P L"],
    rejected_token_where: Bool[Tensor, "P L"],
    chosen_ref_points: Float[Tensor, "P L 14 N"],
    rejected_ref_points: Float[Tensor, "P L 14 N"],
    chosen_ref_ends: Float[Tensor, "P L 2"],
    rejected_ref_ends: Float[Tensor, "P L 2"],
    chosen_token_ref_mean_logits: Tokens,
    rejected_token_ref_mean_logits: Tokens,
    *,
    beta: PositiveNumber = 0.1,
) -> Masked:
    """The MaPO loss of each pair, `[P]`, with one mask from all activations of the reference."""
    where = chosen_token_where, rejected_token_where
    masks = (
        masks_from_all(chosen_ref_points, chosen_ref_ends, chosen_token_ref_mean_logits, where[0]),
        masks_from_all(rejected_ref_points, rejected_ref_ends, rejected_token_ref_mean_logits, where[1]),
    )
    logratios = chosen_token_logratios, rejected_token_logratios
    divergences = chosen_token_kl_forward, rejected_token_kl_forward
    return mapo_loss(logratios, divergences, masks, where, beta=beta)


def mapo_loss(logratios: Sides, divergences: Sides, masks: Sides, where: Where, *, beta: float) -> Masked:
    """The loss under one mask that is not learned, and its reports."""
    losses = sparse_loss(logratios, divergences, masks, masks, beta=beta, l1_u=0.0, l1_d=0.0)
    return losses, sparsity(masks, masks, where)


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
    ) -> Masked:
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
        losses = sparse_loss(
            (chosen_token_logratios, rejected_token_logratios),
            (chosen_token_kl_forward, rejected_token_kl_forward),
            masks[0],
            masks[-1],
            **self.settings,
        )
        return losses, sparsity(masks[0], masks[-1], (chosen_token_where, rejected_token_where))


def _difference(masks: Sides, values: Sides) -> Float[Tensor, "P"]:
    """Masked sum of the chosen side minus that of the rejected."""
    return (masks[0] * values[0]).sum(dim=1) - (masks[1] * values[1]).sum(dim=1)


def _size(masks: Sides) -> Float[Tensor, "P"]:
    return masks[0].abs().sum(dim=1) + masks[1].abs().sum(dim=1)
