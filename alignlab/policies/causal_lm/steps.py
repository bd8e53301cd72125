"""Signals by step of a response: log-ratios, lengths, and how alike the steps of two responses are."""

from collections.abc import Collection, Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from alignlab.types import Batch

STEP_SIGNALS = ("step_logratios", "step_lengths", "step_cosines")


def step_signals(
    batch: Batch, values: Mapping[str, Tensor], hidden: Float[Tensor, "R D"], wanted: Collection[str]
) -> dict[str, Tensor]:
    """Those of STEP_SIGNALS that are wanted: `[B, K, S]`, and the cosines `[B, K, K, S]`.

    Log-ratios are sums over the tokens of a step. A step is as its mean hidden state; the cosine is 0
    where either response lacks the step. Log-ratios want `ref_logps` in `values`.
    """
    if batch.step is None:
        return {}
    inside = batch.is_response
    row_R, step_R = batch.row[inside], batch.step[inside]
    rows, steps = len(batch.row_lengths), int(step_R.max()) + 1
    cell_R = row_R * steps + step_R

    def summed(values: Float[Tensor, "R ..."]) -> Float[Tensor, "B K S ..."]:
        sums = values.new_zeros(rows * steps, *values.shape[1:]).index_add(0, cell_R, values)
        return batch.slotted(sums.reshape(rows, steps, *values.shape[1:]))

    found = {}
    lengths = summed(torch.ones_like(values["logps"], requires_grad=False))
    if "step_lengths" in wanted:
        found["step_lengths"] = lengths
    if "step_logratios" in wanted and "ref_logps" in values:
        found["step_logratios"] = summed(values["logps"] - values["ref_logps"])
    if "step_cosines" in wanted:
        means_BKSD = summed(hidden.to(lengths.dtype)) / lengths.clamp(min=1)[..., None]
        directions = F.normalize(means_BKSD, dim=-1)
        found["step_cosines"] = torch.einsum("bisd,bjsd->bijs", directions, directions)
    return found
