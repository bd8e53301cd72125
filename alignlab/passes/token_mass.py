"""The probability that a policy gives tokens where chosen responses stand; it shows displacement, arXiv:2410.08847."""

from collections.abc import Callable

import torch
from jaxtyping import Bool
from torch import Tensor

from alignlab.data.batching.batches import collate, within_budget
from alignlab.data.encoding.token_rows import TokenRows
from alignlab.metrics.chosen_rejected import ChosenRejected
from alignlab.metrics.displacement import Mass
from alignlab.policies.causal_lm.model import CausalLM
from alignlab.types import Batch

CHUNK_ELEMENTS = 2**22
"""The number of probabilities in memory at a time."""


@torch.no_grad()
def mass(policy: CausalLM, rows: TokenRows, *, budget: int, track: Callable[[int], None]) -> Mass:
    """Measure the probability mass of a policy over the chosen responses of these rows.

    `budget` is the number of tokens of a micro-batch.
    """
    own, positions = 0.0, 0
    others = torch.zeros(policy.head.vocabulary, dtype=torch.float64)
    for group in within_budget(rows, range(len(rows)), budget, packed=policy.packed):
        batch = collate(rows, group).to(next(policy.parameters()).device)
        mine = of_chosen(batch)
        hidden, targets = policy.encode(batch).hidden[mine], batch.tokens[batch.is_response][mine]
        size = max(1, CHUNK_ELEMENTS // policy.head.vocabulary)
        for at in range(0, len(targets), size):
            right = targets[at : at + size]
            probabilities = policy.head(hidden[at : at + size]).double().softmax(-1)
            own += probabilities.gather(1, right[:, None]).sum().item()
            others += probabilities.scatter(1, right[:, None], 0.0).sum(0).cpu()
        positions += len(targets)
        track(len(group))
    count = max(positions, 1)
    return Mass(own / count, others / count, positions)


def of_chosen(batch: Batch) -> Bool[Tensor, "R"]:
    """Return which response tokens of a batch belong to chosen responses."""
    numbers = ChosenRejected.of(batch.labels, batch.where).take(batch.slot, "chosen")
    return torch.isin(batch.row[batch.is_response], numbers)
