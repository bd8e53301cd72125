"""Steps over rows of the data, with samples of the policy beside each list."""

from collections.abc import Callable, Iterator, Sequence

from alignlab.data.batching.batches import Step, StepLoader
from alignlab.data.encoding.token_rows import TokenRows
from alignlab.online.rows import with_samples
from alignlab.sampling.rollout import Rollout

DrawFor = Callable[[Sequence[int]], Sequence[Rollout]]
"""Gives a rollout for the prompt of each row with these numbers; all ranks call it."""


class Beside:
    """The steps of a loader, whose lists get samples when a step is asked for: of the policy as it is then."""

    def __init__(self, loader: StepLoader, draw: DrawFor) -> None:
        self.loader, self.draw = loader, draw

    @property
    def rows(self) -> TokenRows:
        """The rows, without samples."""
        return self.loader.rows

    def __iter__(self) -> Iterator[Step]:
        for step in range(self.loader.steps):
            numbers = self.loader.indices(step)
            rows = with_samples(self.rows.take(numbers), [one.responses for one in self.draw(numbers)])
            yield from self.loader.over(rows, steps=1, start=0, shuffle=False, lists_per_step=len(rows))
