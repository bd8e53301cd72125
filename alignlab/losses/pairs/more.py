"""Reward models of several tasks at once, whose weights find a direction that all of them share."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from alignlab.errors import ConfigError
from alignlab.objective.gathered import Gathered
from alignlab.settings import PositiveShare
from alignlab.types import Reports

MOST = 0.999
"""The largest share that one of two gradients may have in their mixture."""


class MORE(nn.Module):
    """Bradley-Terry on several tasks, the weights of which make the shortest mixture of their gradients: MORE,
    arXiv:2312.07401.

    -tasks * weight_k * log sigmoid(chosen_value - rejected_value) for a pair of task k, with weights on the simplex
    that minimize |sum_k weight_k g_k|^2. g_k is the gradient of the task's loss with respect to the head alone, at
    hidden states that are held fixed, mixed by `alpha` with those of steps before, and of length 1 with `normalize`.

    Tasks are the sources of the data. With one task, or equal gradients, the loss is `bradley_terry`. Tasks that have
    not been seen yet have no weight of their own: before the first step all pairs weigh the same.

    Reports `largest`, the largest weight of a task.

    >>> loss = MORE()
    >>> loss.bind({"embeddings": (1,), "tasks": (1,)})
    >>> one, h = torch.ones(1), torch.ones(1, 1)
    >>> gathered = Gathered(loss.contribute(one, 0 * one, h, 0 * h, 0 * one), one)
    >>> loss.absorb(gathered)
    >>> loss(one, 0 * one, 0 * one, gathered)[0]
    tensor([0.3133])
    """

    gradients: Tensor
    seen: Tensor

    def __init__(self, *, alpha: PositiveShare = 0.99, normalize: bool = True) -> None:
        super().__init__()
        self.alpha, self.normalize = alpha, normalize
        self.register_buffer("gradients", torch.zeros(0, 0, dtype=torch.float64))
        self.register_buffer("seen", torch.zeros(0, dtype=torch.bool))

    def bind(self, sizes: Mapping[str, tuple[int, ...]]) -> None:
        """Make room for sizes["tasks"] gradients of size sizes["embeddings"]; the same sizes again change nothing."""
        size = (*sizes.get("tasks", (1,)), *sizes["embeddings"])
        if self.gradients.shape != size:
            self.gradients = torch.zeros(size, dtype=torch.float64, device=self.gradients.device)
            self.seen = torch.zeros(size[0], dtype=torch.bool, device=self.gradients.device)

    def contribute(
        self,
        chosen_values: Float[Tensor, "P"],
        rejected_values: Float[Tensor, "P"],
        chosen_embeddings: Float[Tensor, "P D"],
        rejected_embeddings: Float[Tensor, "P D"],
        tasks: Float[Tensor, "P"],
    ) -> Float[Tensor, "P 1+D"]:
        """The task of each pair, and the gradient of its loss with respect to the head."""
        pulls = -torch.sigmoid(rejected_values - chosen_values)[:, None]
        return torch.cat([tasks[:, None], pulls * (chosen_embeddings - rejected_embeddings)], dim=1)

    def absorb(self, gathered: Gathered) -> None:
        """Take the mean gradient of each task of a step into the moving ones."""
        if not len(self.gradients):
            raise ConfigError(
                "more keeps a gradient of each task: bind it to a model first, bind({'embeddings': (width,), 'tasks': "
                "(count,)})"
            )
        tasks, slopes = gathered.rows[:, 0].long(), gathered.rows[:, 1:].double()
        members = F.one_hot(tasks, len(self.seen)).T * gathered.weights.double()
        totals = members.sum(dim=1)
        there = totals > 0
        means = (members @ slopes)[there] / totals[there, None]
        kept = torch.where(self.seen[there, None], 1 - self.alpha, 0.0)
        self.gradients[there] = kept * self.gradients[there] + (1 - kept) * means
        self.seen |= there

    def weights(self) -> Float[Tensor, "tasks"]:
        """The factor of each task's pairs: the number of tasks seen times the weight; 1 for one that is not seen."""
        factors = torch.ones_like(self.seen, dtype=torch.float64)
        if count := int(self.seen.sum()):
            slopes = self.gradients[self.seen]
            factors[self.seen] = count * shortest(F.normalize(slopes, dim=1) if self.normalize else slopes)
        return factors

    def forward(
        self,
        chosen_values: Float[Tensor, "P"],
        rejected_values: Float[Tensor, "P"],
        tasks: Float[Tensor, "P"],
        gathered: Gathered,
    ) -> tuple[Float[Tensor, "P"], Reports]:
        """The loss of each pair, `[P]`."""
        factors = self.weights().to(chosen_values.dtype)
        largest = factors[self.seen].max() / self.seen.sum() if self.seen.any() else factors.new_zeros(())
        losses = -F.logsigmoid(chosen_values - rejected_values)
        return factors[tasks.long()] * losses, {"largest": largest}


def shortest(gradients: Float[Tensor, "K D"]) -> Float[Tensor, "K"]:
    """Return weights on the simplex that make |sum_k weight_k g_k| as small as possible.

    Gradients of length 0 say nothing, and have the mean weight. Two have a closed form, (g_22 - g_12) / (g_11 + g_22 -
    2 g_12) for the first, at most 0.999; more are a problem of least squares with weights that are not negative.

    >>> shortest(torch.tensor([[1.0, 2.0], [2.0, -1.0]]))
    tensor([0.5000, 0.5000])
    """
    count = len(gradients)
    weights = torch.full_like(gradients[:, 0], 1 / count)
    live = gradients.any(dim=1)
    if not live.all():
        if live.sum() > 1:
            weights[live] = shortest(gradients[live]) * live.sum() / count
        return weights
    if count == 2:
        (own, both), (_, other) = gradients @ gradients.T
        gap = own + other - 2 * both
        first = ((other - both) / gap).clamp(1 - MOST, MOST) if gap > 0 else weights[0]
        return torch.stack([first, 1 - first])
    return _least(gradients) if count > 2 else weights


def _least(gradients: Float[Tensor, "K D"]) -> Float[Tensor, "K"]:
    """Return those weights for any number of gradients.

    |G x|^2 + (sum x - 1)^2 is least, over x that are not negative, at a multiple of the weights.
    """
    from scipy.optimize import nnls  # where it is used alone: it is slow to import

    rows = torch.cat([gradients.T, gradients.new_ones(1, len(gradients))]).double().cpu().numpy()
    target = [0.0] * (len(rows) - 1) + [1.0]
    solution = torch.from_numpy(nnls(rows, target)[0]).to(gradients)
    return solution / solution.sum()
