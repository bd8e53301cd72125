"""Generalized advantage estimation: what each token of a response brought, against the value of its state."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def gae(
    rewards: Float[Tensor, "B K L"],
    values: Float[Tensor, "B K L"],
    finished: Float[Tensor, "B K"],
    token_where: Bool[Tensor, "B K L"],
    *,
    gamma: float,
    lam: float,
) -> Float[Tensor, "B K L"]:
    """The advantages of tokens, arXiv:1506.02438: the discounted sum of reward + gamma * next value - value.

    Nothing follows a finished response; one that was cut goes on from a state that is worth what its last one is.

    >>> rewards, finished = torch.tensor([[[0.0, 1.0]]]), torch.ones(1, 1)
    >>> gae(rewards, 0 * rewards + 0.5, finished, rewards >= 0, gamma=1.0, lam=0.5)
    tensor([[[0.2500, 0.5000]]])
    """
    is_last = ends_of(token_where)
    following = torch.nn.functional.pad(values[..., 1:], (0, 1))
    following = torch.where(is_last, (1 - finished)[..., None] * values, following)
    gains = (rewards + gamma * following - values).masked_fill(~token_where, 0)
    advantage, found = torch.zeros_like(finished), []
    for gain in gains.unbind(dim=2)[::-1]:
        advantage = gain + gamma * lam * advantage
        found.append(advantage)
    return torch.stack(found[::-1], dim=2)


def ends_of(token_where: Bool[Tensor, "B K L"]) -> Bool[Tensor, "B K L"]:
    """Whether a token is the last one of its response."""
    return token_where & ~torch.nn.functional.pad(token_where[..., 1:], (0, 1))
