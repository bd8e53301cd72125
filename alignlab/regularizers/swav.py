"""Clusters of the hidden states that a reward model's head reads, on which two views of a response agree."""

from collections.abc import Mapping
from typing import Annotated

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from alignlab.errors import ConfigError
from alignlab.objective.gathered import Gathered, holding
from alignlab.regularizers.two_views import TwoViews
from alignlab.settings import PositiveNumber, ShareBelowOne, whole

ROUNDS, SHARPNESS = 3, 0.05
"""Rounds of Sinkhorn's algorithm, and the temperature of the scores that it starts from, as in SwAV."""


class SwAV(TwoViews):
    """SwAV, arXiv:2006.09882, on a reward model, arXiv:2401.06080: each view of a response tells the cluster of the
    other.

    Half the sum of the cross-entropies of softmax(view . prototypes / temperature) with the code of the other view; a
    mean over responses. Codes are shares in `prototypes` clusters, evened out over the step by Sinkhorn's algorithm,
    and held fixed; views leave out `dropout` of the dimensions. The prototypes are learned.
    """

    def __init__(
        self,
        *,
        prototypes: Annotated[int, whole(2, 10_000)] = 16,
        temperature: PositiveNumber = 0.1,
        dropout: ShareBelowOne = 0.1,
    ) -> None:
        super().__init__(dropout)
        self.count, self.temperature = prototypes, temperature
        self.prototypes = nn.Parameter(torch.zeros(prototypes, 0))

    def bind(self, sizes: Mapping[str, tuple[int, ...]]) -> None:
        """Make prototypes for states of size sizes["embeddings"]; the same size again changes nothing."""
        (width,) = sizes["embeddings"]
        if self.prototypes.shape[1] != width:
            drawn = torch.randn(self.count, width, generator=torch.Generator().manual_seed(0))
            self.prototypes = nn.Parameter(drawn)

    def contribute(self, embeddings: Float[Tensor, "B K D"]) -> Float[Tensor, "B K D"]:
        """The state of each response."""
        return embeddings

    def forward(self, embeddings: Float[Tensor, "B K D"], gathered: Gathered) -> Float[Tensor, "B K"]:
        """The value of each response, `[B, K]`."""
        if not self.prototypes.shape[1]:
            raise ConfigError(
                "swav has no prototypes yet: call objective.bind({'embeddings': (width,)}) first"
            )
        gathered = holding(embeddings.flatten(0, 1), gathered)
        centres = F.normalize(self.prototypes, dim=1).to(embeddings.dtype)
        scores = [view @ centres.T for view in self.views(embeddings.flatten(0, 1))]
        whole = [
            view @ centres.T.detach() for view in self.views(gathered.rows.detach().to(embeddings.dtype))
        ]
        own = slice(gathered.start, gathered.start + len(scores[0]))
        codes = [shares(every, gathered.weights)[own] for every in whole]
        logs = [(score / self.temperature).log_softmax(dim=1) for score in scores]
        values = -((codes[0] * logs[1]).sum(dim=1) + (codes[1] * logs[0]).sum(dim=1)) / 2
        return values.view(embeddings.shape[:2])


def shares(scores: Float[Tensor, "n C"], weights: Float[Tensor, "n"]) -> Float[Tensor, "n C"]:
    """Return the shares of each row in the clusters, which sum to 1 and use all clusters alike: Sinkhorn-Knopp.

    Rows of weight 0 change nothing.

    >>> shares(torch.zeros(2, 2), torch.ones(2))
    tensor([[0.5000, 0.5000],
            [0.5000, 0.5000]])
    """
    masses = weights.to(scores.dtype)[:, None]
    table = ((scores - scores.max()) / SHARPNESS).exp()
    for _ in range(ROUNDS):
        table = table / (masses * table).sum(dim=0, keepdim=True).clamp(min=torch.finfo(scores.dtype).tiny)
        table = table / table.sum(dim=1, keepdim=True).clamp(min=torch.finfo(scores.dtype).tiny)
    return table
