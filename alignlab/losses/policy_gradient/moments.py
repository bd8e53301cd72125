"""Mean and variance over all responses, or all tokens, of an optimizer step, from what each response brings."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from alignlab.objective.gathered import Gathered


def of_responses(
    values_BKL: Float[Tensor, "B K L"], token_where: Bool[Tensor, "B K L"]
) -> Float[Tensor, "B K 3"]:
    """What the tokens of each response bring: their number, mean, and sum of squared distances from that mean.

    Both are taken from the first value on, so that equal values have exactly their value as mean, and no distance.
    """
    first, counts = values_BKL[..., :1], token_where.sum(dim=2).to(values_BKL.dtype)
    gaps = (values_BKL - first).masked_fill(~token_where, 0)
    mean_gap = gaps.sum(dim=2) / counts.clamp(min=1)
    squares = (gaps - mean_gap[..., None]).masked_fill(~token_where, 0).square().sum(dim=2)
    return torch.stack([counts, first[..., 0] + mean_gap, squares], dim=2)


@dataclass(frozen=True)
class Moments:
    """The mean of all values of a step, and their variance; `spread` is 0 where all are equal, and nowhere else."""

    mean: Float[Tensor, ""]
    squares: Float[Tensor, ""]
    count: Float[Tensor, ""]
    spread: Float[Tensor, ""]

    @classmethod
    def of(cls, gathered: Gathered) -> "Moments":
        """Join what responses brought (`of_responses`); a list of weight w counts w times."""
        counts, means, squares = gathered.rows.unbind(dim=1)
        weights = counts * gathered.weights
        count = weights.sum()
        mean = (weights * means).sum() / count.clamp(min=torch.finfo(means.dtype).tiny)
        within = (gathered.weights * squares).sum()
        real = weights > 0
        lowest = means.masked_fill(~real, torch.inf).amin() if len(means) else mean
        highest = means.masked_fill(~real, -torch.inf).amax() if len(means) else mean
        spread = (highest - lowest).clamp(min=0) + within
        return cls(mean, within + (weights * (means - mean).square()).sum(), count, spread)

    def standard(
        self, values: Float[Tensor, "*shape"], *, sample: bool, inside: float = 0.0, outside: float = 0.0
    ) -> Float[Tensor, "*shape"]:
        """(values - mean) / (sqrt(variance + inside) + outside), exactly 0 where all values of the step are equal."""
        over = (self.count - 1 if sample else self.count).clamp(min=torch.finfo(values.dtype).tiny)
        scale = (self.squares / over + inside).sqrt() + outside
        is_flat = self.spread == 0
        return ((values - self.mean) / torch.where(is_flat, torch.ones_like(scale), scale)).masked_fill(
            is_flat, 0
        )
