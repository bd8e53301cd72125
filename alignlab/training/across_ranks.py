"""Statistics of a step over all micro-batches of all ranks."""

from collections.abc import Sequence

from alignlab import ranks
from alignlab.objective.gathered import Gathered, join


def across_ranks(parts: Sequence[Gathered]) -> list[Gathered]:
    """The rows of all ranks' micro-batches, in rank order, seen from each micro-batch of this rank.

    Every rank must call it, with at least one micro-batch each; the number of rows may differ.
    """
    views = join(parts)
    if ranks.world() == 1:
        return views
    whole = views[0]
    before = sum(ranks.gathered(len(whole.rows))[: ranks.rank()])
    rows, weights = ranks.rows(whole.rows), ranks.rows(whole.weights)
    return [Gathered(rows, weights, before + view.start) for view in views]
