"""How far the trained parameters are from where they started."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from alignlab import ranks
from alignlab.training.strategies.shares import is_spread, local


class Distance:
    """Half the squared Euclidean distance of all trained parameters from their values at construction.

    Its gradient by the parameters does not go through a graph: an engine that spreads them over ranks
    has no place for it there. `pull` adds it to theirs once all backward passes of a step are done.
    """

    def __init__(self, model: nn.Module) -> None:
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self._start = [(parameter, local(parameter).clone()) for parameter in trained]
        self._pulled = torch.zeros((), dtype=_exact(trained[0]), requires_grad=True)

    def __call__(self) -> Float[Tensor, ""]:
        """Half the squared distance now. All ranks must call this, before the forward of a micro-batch."""
        nothing = self._pulled.detach()
        sums: dict[bool, Tensor] = {True: nothing, False: nothing}
        for parameter, start in self._start:
            spread = is_spread(parameter)
            sums[spread] = sums[spread] + _moved(parameter, start).square().sum()
        return (ranks.total(sums[True]) + sums[False]) / 2 + self._pulled

    def forget(self) -> None:
        """Clear the slope of the distance at the start of a step."""
        self._pulled.grad = None

    @torch.no_grad()
    def pull(self) -> None:
        """Add the gradient of the loss by the distance to those of the parameters, as the mean over ranks."""
        slope = torch.zeros_like(self._pulled) if self._pulled.grad is None else self._pulled.grad
        weight = (ranks.total(slope) / ranks.world()).item()
        for parameter, start in self._start:
            if start.numel():
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
                gradient = local(parameter.grad)
                gradient += (weight * _moved(parameter, start)).to(gradient.dtype)


def _moved(parameter: Tensor, start: Tensor) -> Tensor:
    """The change of a parameter since the start, in float32 or better."""
    now = local(parameter)
    return now.to(_exact(now)) - start.to(now.device, _exact(now))


def _exact(tensor: Tensor) -> torch.dtype:
    return torch.promote_types(tensor.dtype, torch.float32)
