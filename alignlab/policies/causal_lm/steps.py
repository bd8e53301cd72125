"""The signals of a response's steps: log-ratios, lengths, and the likeness of the steps of two responses."""

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
    """Return the wanted STEP_SIGNALS: `[B, K, S]`, and the cosines `[B, K, K, S]`.

    A log-ratio is a sum over the tokens of a step, in nats, and needs `ref_logps` in `values`. The cosine is that of
    the steps' mean hidden states; it is 0 where either response lacks the step.
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

    signals = {}
    lengths = summed(torch.ones_like(values["logps"], requires_grad=False))
    if "step_lengths" in wanted:
        signals["step_lengths"] = lengths
    if "step_logratios" in wanted and "ref_logps" in values:
        signals["step_logratios"] = summed(values["logps"] - values["ref_logps"])
    if "step_cosines" in wanted:
        means_BKSD = summed(hidden.to(lengths.dtype)) / lengths.clamp(min=1)[..., None]
        directions = F.normalize(means_BKSD, dim=-1)
        signals["step_cosines"] = torch.einsum("bisd,bjsd->bijs", directions, directions)
    return signals
