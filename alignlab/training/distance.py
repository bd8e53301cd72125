"""How far the trained parameters are from where they started."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Distance:
    """Half the squared Euclidean distance of all trained parameters from their values at construction."""

    def __init__(self, model: nn.Module) -> None:
        self._start = {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}

    def __call__(self, model: nn.Module) -> Float[Tensor, ""]:
        """The distance now, with its graph."""
        now = dict(model.named_parameters())
        squares = [_square(now[name], start.to(now[name].device)) for name, start in self._start.items()]
        return torch.stack(squares).sum() / 2


def _square(now: Tensor, start: Tensor) -> Tensor:
    """In float32 or better."""
    exact = torch.promote_types(now.dtype, torch.float32)
    return (now.to(exact) - start.to(exact)).square().sum()
