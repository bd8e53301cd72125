"""Two views of the hidden states of a step: what contrastive regularizers of reward models compare."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from alignlab.objective.gathered import Gathered


class TwoViews(nn.Module):
    """A regularizer that sees every hidden state twice, each time without some of its dimensions.

    The dimensions are drawn anew at each step, and are the same for all of its responses, so that the value does not
    depend on how a step is cut. Only a response's own two views have a gradient; others are held fixed.
    """

    step: Tensor

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    def absorb(self, gathered: Gathered) -> None:
        """Go on to the dimensions of the next step."""
        self.step += 1

    def views(self, states: Float[Tensor, "n D"]) -> tuple[Float[Tensor, "n D"], Float[Tensor, "n D"]]:
        """Return the two views of each state, as directions."""
        generator = torch.Generator().manual_seed(int(self.step))
        kept = torch.rand(2, states.shape[1], generator=generator) >= self.dropout
        first, second = (F.normalize(states * mask.to(states), dim=1) for mask in kept)
        return first, second
