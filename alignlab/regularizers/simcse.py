"""Contrast between responses, in the hidden states that a reward model's head reads."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from alignlab.errors import one_of
from alignlab.objective.gathered import Gathered, holding
from alignlab.regularizers.two_views import TwoViews
from alignlab.settings import PositiveNumber, ShareBelowOne

OF = ("responses", "differences")


def simcse(
    *,
    of: Literal["responses", "differences"] = "responses",
    temperature: PositiveNumber = 0.05,
    dropout: ShareBelowOne = 0.1,
) -> "Responses | Differences":
    """SimCSE, arXiv:2104.08821, on a reward model, arXiv:2401.06080: a response is nearer to itself than to others.

    -log of exp(cos(h_i, h'_i) / temperature) over its sum with all h'_j of the step, where h and h' are two views of
    the state at the last token, with `dropout` of its dimensions left out; a mean over responses. With `of=differences`
    h is that of chosen less that of rejected, of every pair.

    Models of today have no dropout of their own, without which both views were the same.
    """
    one_of("of", of, OF)
    return (Responses if of == "responses" else Differences)(temperature, dropout)


class Contrast(TwoViews):
    """The contrast of each state with all of its step."""

    def __init__(self, temperature: float, dropout: float) -> None:
        super().__init__(dropout)
        self.temperature = temperature

    def contrast(self, states: Float[Tensor, "N D"], gathered: Gathered) -> Float[Tensor, "N"]:
        """Return the value for each state, which are rows of `gathered` too."""
        gathered = holding(states, gathered)
        first_ND, second_ND = self.views(states)
        others_nD = self.views(gathered.rows.detach().to(states.dtype))[1]
        cosines_Nn = first_ND @ others_nD.T
        own = torch.arange(len(states), device=states.device)
        cosines_Nn = cosines_Nn.index_put((own, own + gathered.start), (first_ND * second_ND).sum(dim=1))
        counts_Nn = gathered.weights.to(states.dtype).expand_as(cosines_Nn)
        absent_N = counts_Nn.diagonal(gathered.start) == 0  # of which no value is used
        counts_Nn = counts_Nn.index_put(
            (own[absent_N], own[absent_N] + gathered.start), counts_Nn.new_ones(())
        )
        return contrasted(cosines_Nn, counts_Nn, gathered.start, self.temperature)


class Responses(Contrast):
    """The contrast of responses."""

    def contribute(self, embeddings: Float[Tensor, "B K D"]) -> Float[Tensor, "B K D"]:
        """The state of each response."""
        return embeddings

    def forward(self, embeddings: Float[Tensor, "B K D"], gathered: Gathered) -> Float[Tensor, "B K"]:
        """The value of each response, `[B, K]`."""
        return self.contrast(embeddings.flatten(0, 1), gathered).view(embeddings.shape[:2])


class Differences(Contrast):
    """The contrast of pairs, as chosen less rejected."""

    def contribute(
        self, chosen_embeddings: Float[Tensor, "P D"], rejected_embeddings: Float[Tensor, "P D"]
    ) -> Float[Tensor, "P D"]:
        """The difference of states of each pair."""
        return chosen_embeddings - rejected_embeddings

    def forward(
        self,
        chosen_embeddings: Float[Tensor, "P D"],
        rejected_embeddings: Float[Tensor, "P D"],
        gathered: Gathered,
    ) -> Float[Tensor, "P"]:
        """The value of each pair, `[P]`."""
        return self.contrast(chosen_embeddings - rejected_embeddings, gathered)


def contrasted(
    cosines: Float[Tensor, "N n"], counts: Float[Tensor, "N n"], start: int, temperature: float
) -> Float[Tensor, "N"]:
    """Return the cross-entropy of each row with its own place, `start` + the row's number, as the answer.

    A place counts as often as `counts` says; one of 0 is not there.

    >>> contrasted(torch.tensor([[0.9, 0.1], [0.2, 0.8]]), torch.ones(2, 2), 0, 0.5)
    tensor([0.1839, 0.2633])
    """
    logits = cosines / temperature
    return (logits + counts.log()).logsumexp(dim=1) - logits.diagonal(start)
