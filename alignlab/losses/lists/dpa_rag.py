"""The loss of rerankers: three tasks on documents, weighed so that none of them is gone against."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from alignlab.losses.pairs.more import shortest
from alignlab.objective.gathered import Gathered, holding
from alignlab.settings import PositiveNumber
from alignlab.types import Reports

TASKS = ("class", "rank", "contrast")
COLUMNS = 4
"""The columns of a contributed row before its hidden state and the slope of its value."""


class DPARAG(nn.Module):
    """Documents of a query as classes, as pairs and by contrast, DPA-RAG, arXiv:2406.18676.

    weight_1 * (-log sigmoid(value), or -log sigmoid(-value) of an unwanted document; a mean over documents) + weight_2
    * (-log sigmoid(value - other value) for every two with different labels; a mean over pairs) + weight_3 * (-log of
    exp(cos(h, h') / tau) over its sum with all other documents of the step, a mean over those h' that are wanted, or
    unwanted, as h is; a mean over documents), with weights on the simplex that minimize |sum_k weight_k g_k|^2. g_k is
    the gradient of a task with respect to the hidden states h of all documents of the step, of length 1 with
    `normalize`.

    A document is wanted where its label is above the middle of its query's labels. In the contrast, other documents are
    held fixed.

    Reports `class`, `rank` and `contrast`, the weights, and `accuracy`, the share of documents whose value is above 0
    where they are wanted, and not above 0 where they are not.

    >>> loss = DPARAG()
    >>> wanted, h = torch.tensor([[1.0, 0.0]]), torch.ones(1, 2, 1)
    >>> values, where = torch.zeros(1, 2), torch.ones(1, 2) > 0
    >>> gathered = Gathered(loss.contribute(values, h, h, wanted, wanted, where)[0], torch.ones(2))
    >>> loss(values, h, h, wanted, wanted, where, gathered)[0]
    tensor([[0.6931, 0.2310]])
    """

    def __init__(self, *, tau: PositiveNumber = 0.1, normalize: bool = True) -> None:
        super().__init__()
        self.tau, self.normalize = tau, normalize

    def contribute(
        self,
        values: Float[Tensor, "B K"],
        embeddings: Float[Tensor, "B K D"],
        value_slopes: Float[Tensor, "B K D"],
        desirable: Float[Tensor, "B K"],
        labels: Float[Tensor, "B K"],
        where: Bool[Tensor, "B K"],
    ) -> Float[Tensor, "B K 4+2*D"]:
        """The slopes of the first two tasks by each value, its pairs and kind, its hidden state and slope by that."""
        better_BKK = _better(labels, where)
        pulls_BKK = torch.sigmoid(values[:, None, :] - values[:, :, None]) * better_BKK
        slopes_BK = pulls_BKK.sum(dim=1) - pulls_BKK.sum(dim=2)
        columns = [values.sigmoid() - desirable, slopes_BK, better_BKK.sum(dim=2).to(values.dtype), desirable]
        return torch.cat([torch.stack(columns, dim=2), embeddings, value_slopes], dim=2)

    def forward(
        self,
        values: Float[Tensor, "B K"],
        embeddings: Float[Tensor, "B K D"],
        value_slopes: Float[Tensor, "B K D"],
        desirable: Float[Tensor, "B K"],
        labels: Float[Tensor, "B K"],
        where: Bool[Tensor, "B K"],
        gathered: Gathered,
    ) -> tuple[Float[Tensor, "B K"], Reports]:
        """The loss of each document, `[B, K]`, with pairs at their better one."""
        own = self.contribute(values.detach(), embeddings.detach(), value_slopes, desirable, labels, where)
        gathered = holding(own.flatten(0, 1), gathered)
        weights, shares = self.weights(gathered)
        classes_BK = F.softplus(values) - desirable * values
        ranks_BKK = F.softplus(values[:, None, :] - values[:, :, None]) * _better(labels, where)
        contrasts_N, _ = contrasts(embeddings.flatten(0, 1), gathered, gathered.start, self.tau)
        parts = torch.stack([classes_BK, ranks_BKK.sum(dim=2), contrasts_N.view_as(values)])
        losses_BK = ((weights * shares)[:, None, None] * parts).sum(dim=0)
        right_BK = (values > 0) == (desirable > 0)
        return losses_BK, {**dict(zip(TASKS, weights, strict=True)), "accuracy": right_BK}

    @torch.no_grad()
    def weights(self, gathered: Gathered) -> tuple[Float[Tensor, "3"], Float[Tensor, "3"]]:
        """Return the weight of each task, and the documents of the step over what the task is a mean of."""
        rows, counts = gathered.rows, gathered.weights.to(gathered.rows)
        states, value_slopes = rows[:, COLUMNS:].chunk(2, dim=1)
        with torch.enable_grad():
            leaves = states.detach().clone().requires_grad_()
            losses, found = contrasts(leaves, gathered, 0, self.tau)
            (contrast,) = torch.autograd.grad(losses.sum(), leaves)  # others are held fixed
        totals = torch.stack([counts.sum(), (counts * rows[:, 2]).sum(), (counts * found).sum()])
        shares = torch.where(totals > 0, counts.sum() / torch.where(totals > 0, totals, 1), 0)
        by_value = [slopes[:, None] * value_slopes for slopes in rows[:, :2].T]
        as_often = counts.sqrt()[
            :, None
        ]  # in products of two gradients, a document counts as often as its weight says
        gradients = shares[:, None] * (as_often * torch.stack([*by_value, contrast])).flatten(1)
        return shortest(F.normalize(gradients, dim=1) if self.normalize else gradients), shares


def contrasts(
    states: Float[Tensor, "N D"], gathered: Gathered, start: int, tau: float
) -> tuple[Float[Tensor, "N"], Bool[Tensor, "N"]]:
    """Return the contrast of each state with the documents of the step, and whether there is another one of its kind.

    The states are the rows of `gathered` from `start` on. One that is alone of its kind has 0; one of weight 2 is
    another one beside itself, as if its query came twice.
    """
    width, kinds = states.shape[1], gathered.rows[:, 3]
    others = F.normalize(gathered.rows[:, COLUMNS : COLUMNS + width].detach(), dim=1)
    logits_Nn = F.normalize(states, dim=1) @ others.T.to(states) / tau
    counts_Nn = gathered.weights.to(states).expand_as(logits_Nn).clone()
    own_N = counts_Nn.diagonal(start)
    own_N.sub_(1).clamp_(min=0)
    kind_Nn = counts_Nn * (kinds[start : start + len(states), None] == kinds)
    totals_N = kind_Nn.sum(dim=1)
    found_N = totals_N > 0
    own_N.add_(~found_N)  # a sum over nothing has no slope
    losses_Nn = (logits_Nn + counts_Nn.log()).logsumexp(dim=1, keepdim=True) - logits_Nn
    return (kind_Nn * losses_Nn).sum(dim=1) / torch.where(found_N, totals_N, 1), found_N


def _better(labels: Float[Tensor, "B K"], where: Bool[Tensor, "B K"]) -> Bool[Tensor, "B K K"]:
    """True where the first of two documents has the larger label."""
    return (labels[:, :, None] > labels[:, None, :]) & where[:, :, None] & where[:, None, :]
