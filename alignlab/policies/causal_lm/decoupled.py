"""Log-probabilities of a policy whose logits are moved away from those of its reference."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from alignlab.policies.causal_lm.head import Head, tokens_at_once

Model = tuple[Float[Tensor, "R D"], Head]
"""The hidden states of a model where tokens are predicted, and its head."""


@torch.no_grad()
def decoupled_logps(
    policy: Model, reference: Model, targets: Int[Tensor, "R"], *, away: float
) -> Float[Tensor, "R"]:
    """Return the log-probability of each target under (1 + away) policy logits - away reference logits, in nats.

    With `away` 0 it is the policy's own. Logits are computed in chunks, and leave nothing for a backward.
    """
    (hidden, head), (ref_hidden, ref_head) = policy, reference
    size = tokens_at_once(head, hidden.device.type, models=2)
    parts = []
    for start in range(0, max(1, len(targets)), size):
        window = slice(start, start + size)
        logits = _float(head(hidden[window]))
        if away:
            logits = (1 + away) * logits - away * _float(ref_head(ref_hidden[window]))
        parts.append(logits.log_softmax(-1).gather(-1, targets[window, None]).squeeze(-1))
    return torch.cat(parts)


def _float(logits: Tensor) -> Tensor:
    return logits.to(torch.promote_types(logits.dtype, torch.float32))
