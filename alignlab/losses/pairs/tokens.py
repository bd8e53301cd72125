"""Pairwise losses that look at the tokens of a response, or at divergences summed over them."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from alignlab.objective.numeric import PerPair


def ld_dpo(
    chosen_token_logps: Float[Tensor, "P L"],
    rejected_token_logps: Float[Tensor, "P L"],
    chosen_token_ref_logps: Float[Tensor, "P L"],
    rejected_token_ref_logps: Float[Tensor, "P L"],
    chosen_lengths: Float[Tensor, "P"],
    rejected_lengths: Float[Tensor, "P"],
    *,
    beta: PerPair = 0.1,
    alpha: float = 0.5,
    on_reference: bool = True,
) -> Float[Tensor, "P"]:
    """Length-desensitized DPO, arXiv:2409.06411.

    DPO on log-probabilities in which tokens beyond the length that both responses share count
    alpha, of the policy and of the reference (`on_reference=false` sums the reference's in full).
    With alpha = 1 it is `dpo`; with alpha = 0 what a response is longer by counts nothing.

    >>> chosen, rejected = torch.tensor([[-1.0, -1.0]]), torch.tensor([[-3.0, 0.0]])
    >>> zeros, two, one = torch.zeros(1, 2), torch.tensor([2.0]), torch.tensor([1.0])
    >>> ld_dpo(chosen, rejected, zeros, zeros, two, one, beta=1.0, alpha=1.0)
    tensor([0.3133])
    """
    shared = torch.minimum(chosen_lengths, rejected_lengths)
    chosen = ld_sums(chosen_token_logps, shared, alpha=alpha)
    rejected = ld_sums(rejected_token_logps, shared, alpha=alpha)
    kept = alpha if on_reference else 1.0
    chosen_ref = ld_sums(chosen_token_ref_logps, shared, alpha=kept)
    rejected_ref = ld_sums(rejected_token_ref_logps, shared, alpha=kept)
    return -F.logsigmoid(beta * ((chosen - chosen_ref) - (rejected - rejected_ref)))


def ld_sums(
    token_logps: Float[Tensor, "P L"], shared_lengths: Float[Tensor, "P"], *, alpha: float
) -> Float[Tensor, "P"]:
    """Sums over tokens that weigh 1 within the shared length and alpha after it.

    >>> ld_sums(torch.tensor([[-1.0, -2.0, -4.0]]), torch.tensor([1.0]), alpha=0.5)
    tensor([-4.])
    """
    inside = torch.arange(token_logps.shape[1], device=token_logps.device) < shared_lengths[:, None]
    return torch.where(inside, token_logps, alpha * token_logps).sum(dim=1)


def tdpo1(
    chosen_logratios: Float[Tensor, "P"],
    rejected_logratios: Float[Tensor, "P"],
    chosen_kl_forward: Float[Tensor, "P"],
    rejected_kl_forward: Float[Tensor, "P"],
    *,
    beta: PerPair = 0.1,
) -> Float[Tensor, "P"]:
    """Token-level DPO, first form, arXiv:2404.11999.

    -log sigmoid(beta * (h - (K_rejected - K_chosen))), h the difference of log-ratios, K the forward
    KL(reference || policy) at each token, summed over the response, in nats. Where these are 0 it is
    `dpo`. For low learning rates.

    >>> half = torch.tensor([0.5])
    >>> tdpo1(half, -half, half, 3 * half)
    tensor([0.6931])
    """
    drift = rejected_kl_forward - chosen_kl_forward
    return -F.logsigmoid(beta * (chosen_logratios - rejected_logratios - drift))


def tdpo2(
    chosen_logratios: Float[Tensor, "P"],
    rejected_logratios: Float[Tensor, "P"],
    chosen_kl_forward: Float[Tensor, "P"],
    rejected_kl_forward: Float[Tensor, "P"],
    *,
    beta: PerPair = 0.1,
    alpha: float = 0.5,
) -> Float[Tensor, "P"]:
    """Token-level DPO, second form, arXiv:2404.11999.

    -log sigmoid(beta * (h - alpha * (K_rejected - K_chosen))) without gradient through K_chosen. With
    alpha = 0 it is `dpo`; with alpha = 1 its value, but not its gradient, is that of `tdpo1`. For
    high learning rates.

    >>> half = torch.tensor([0.5])
    >>> tdpo2(half, -half, half, 5 * half)
    tensor([0.6931])
    """
    drift = rejected_kl_forward - chosen_kl_forward.detach()
    return -F.logsigmoid(beta * (chosen_logratios - rejected_logratios - alpha * drift))
