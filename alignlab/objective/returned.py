"""What a term returns: values, how they are counted, and numbers of its own that are reported beside them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from alignlab.errors import ConfigError
from alignlab.types import Part, Reported, Reports


@dataclass(frozen=True)
class Returned:
    """What a term returned, taken apart."""

    values: Tensor
    """`[P]`, `[B]` or `[B, K]`."""
    counts: Tensor | None = None
    """What each value counts; None is 1."""
    reports: Mapping[str, Reported] = field(default_factory=dict)
    """Numbers to be watched, by the names of their metrics, `<term>/<name>`."""

    def part(self, row_weights: Tensor, weight: float = 1.0) -> Part:
        """The share of the values in a mean (or in the loss) where rows have these weights."""
        count = row_weights if self.counts is None else row_weights * self.counts
        return Part((row_weights * self.values).sum(), count.sum().detach(), weight)

    def reported(self) -> dict[str, "Returned"]:
        """The reports by name, each as values without gradient; a number counts as often as there are values."""
        taken: dict[str, Returned] = {}
        for name, report in self.reports.items():
            values, counts = report if isinstance(report, tuple) else (report, None)
            like = self.values.detach()
            taken[name] = Returned(
                _expanded(values, like),
                None if counts is None else _expanded(counts, like),
            )
        return taken


def _expanded(given: Tensor | float, like: Tensor) -> Tensor:
    """A number or tensor of a report without gradient; one number stands for as many as there are values."""
    values = torch.as_tensor(given, device=like.device).detach().to(like.dtype)
    return values.expand_as(like) if values.dim() == 0 else values


def take_apart(returned: object, term: str, path: str) -> Returned:
    """Read what a term returned: values or (values, counts), alone or with a dict of reports, (those, reports).

    Raises ConfigError, naming the config key `path`, where it is neither, or a report is no tensor and no number.
    """
    body: object = returned
    reports: Reports = {}
    if isinstance(returned, tuple) and len(returned) == 2 and isinstance(returned[1], Mapping):
        body, reports = returned
    values, counts = body if isinstance(body, tuple) and len(body) == 2 else (body, None)
    if not isinstance(values, Tensor) or not (counts is None or isinstance(counts, Tensor)):
        kind = type(body).__name__
        raise ConfigError(
            f"{path} returned {kind}: expected a tensor, or (values, counts), alone or as (that, reports)"
        )
    for name, report in reports.items():
        parts = report if isinstance(report, tuple) and len(report) == 2 else (report,)
        if not all(isinstance(part, (Tensor, int, float)) for part in parts):
            kind = type(report).__name__
            raise ConfigError(
                f"{path} reports '{name}' as {kind}: expected a tensor, (values, counts), or a number"
            )
    return Returned(values, counts, {f"{term}/{name}": report for name, report in reports.items()})
