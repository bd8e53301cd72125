"""What a policy makes of a dataset: log-probabilities, or scores of its own, from which every analysis starts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from alignlab.derived import Pairs
from alignlab.metrics.chosen_rejected import ChosenRejected
from alignlab.objective.implicit_reward import ImplicitReward
from alignlab.objective.pair_selection import all_pairs, best_worst

Values = Float[Tensor, "B K"]


@dataclass(frozen=True)
class Scored:
    """Scored lists in float64: log-probabilities in nats, lengths in tokens; `where` masks the responses of a list."""

    ids: Sequence[str]
    sources: Sequence[str]
    logps: Values | None
    """The log-probabilities of a language model in nats; None for policies that score with a head of their own."""
    ref_logps: Values | None
    """The log-probabilities under the reference in nats; None where there is none."""
    lengths: Values
    labels: Values
    where: Bool[Tensor, "B K"]
    reward: ImplicitReward
    """The implicit reward of the objective."""
    scores: Values | None = None
    """The raw scores of the source, where it has any."""
    values: Values | None = None
    """The values of a reward or user model."""
    preferences: Float[Tensor, "B K K"] | None = None
    """The scores of a preference model for every two responses."""
    products: Sequence[Tensor] = ()
    """Inner products of the sums of the reference's hidden states, `[K, K]` for each list; empty if not asked for."""

    @cached_property
    def rewards(self) -> Values:
        """The implicit rewards in nats, or in nats a token where the objective divides by the length; or the scores."""
        return self.reward.of(self._signals)

    @cached_property
    def margins(self) -> Float[Tensor, "P"]:
        """By how much chosen leads in every strictly ordered pair: the log-odds that the objective gives it."""
        return self.reward.margins(self._signals, self.pairs)

    @property
    def _signals(self) -> dict[str, Tensor]:
        signals = {name: getattr(self, name) for name in ("logps", "ref_logps", "values", "preferences")}
        present = self.where.to(self.lengths.dtype)  # an empty response has a length of 0 and is there
        lengths = torch.maximum(self.lengths, present)
        return {"lengths": lengths, **{name: value for name, value in signals.items() if value is not None}}

    @cached_property
    def sides(self) -> ChosenRejected:
        """The chosen and rejected responses; of lone ones, the desirable and the others."""
        return ChosenRejected.of(self.labels, self.where)

    @cached_property
    def ends(self) -> Pairs:
        """The pair of best and worst response of each list; lists whose labels do not differ have none."""
        return best_worst(self.labels, self.where)

    @cached_property
    def pairs(self) -> Pairs:
        """All strictly ordered pairs of the lists."""
        return all_pairs(self.labels, self.where)

    def gaps(self, values: Values, *, every: bool = False) -> Float[Tensor, "P"]:
        """The values of chosen minus rejected: best minus worst, or over `every` strictly ordered pair."""
        pairs = self.pairs if every else self.ends
        return pairs.take(values, "chosen") - pairs.take(values, "rejected")

    def take(self, rows: Bool[Tensor, "B"]) -> "Scored":
        """The lists that the mask `rows` selects."""
        numbers = rows.nonzero().flatten().tolist()
        tensors = {k: v[rows] for k, v in vars(self).items() if k in TENSORS and v is not None}
        return replace(
            self,
            ids=[self.ids[i] for i in numbers],
            sources=[self.sources[i] for i in numbers],
            products=[self.products[i] for i in numbers] if self.products else (),
            **tensors,
        )

    def columns(self) -> dict[str, list[Any]]:
        """The columns of a table with a line for each response, in the order of the data."""
        lists, places = (index.tolist() for index in self.where.nonzero(as_tuple=True))
        values: Mapping[str, Values | None] = {
            "label": self.labels,
            "score": self.scores,
            "length": self.lengths,
            "logp": self.logps,
            "ref_logp": self.ref_logps,
            "reward": self.rewards,
        }
        return {
            "id": [self.ids[i] for i in lists],
            "response": places,
            "source": [self.sources[i] for i in lists],
            **{name: value[self.where].tolist() for name, value in values.items() if value is not None},
        }

    def write(self, file: Path) -> None:
        """Write the columns as parquet; beta and the unit of `reward` are in the file's metadata."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        file.parent.mkdir(parents=True, exist_ok=True)
        table = pa.table(self.columns())
        pq.write_table(
            table.replace_schema_metadata({"beta": repr(self.reward.beta), "reward_unit": self.reward.unit}),
            file,
        )


TENSORS = ("logps", "ref_logps", "lengths", "labels", "where", "scores", "values", "preferences")
