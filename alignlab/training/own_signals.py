"""What a policy says of the tokens that it drew, at the time of drawing."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from alignlab.policies.policy import NO_REFERENCES, Policy
from alignlab.sampling.in_process import evaluating
from alignlab.sampling.rollout import Rollout
from alignlab.sampling.scored import batch_of

OWN = {"token_old_logps": "token_logps", "token_behavior_values": "token_values"}
"""The signal of the policy that each signal of drawn tokens keeps."""
AT_ONCE = 16
"""The number of prompts whose responses are scored together."""
Told = dict[str, tuple[NDArray[np.float32], ...]]


@torch.no_grad()
def own_signals(policy: Policy, names: Mapping[str, str], rollouts: Sequence[Rollout]) -> list[Told]:
    """Return for each rollout the signals `names` of its responses' tokens, by the policy as it is now."""
    with evaluating(policy):
        return [
            told
            for start in range(0, len(rollouts), AT_ONCE)
            for told in _scored(policy, names, rollouts[start : start + AT_ONCE])
        ]


def _scored(policy: Policy, names: Mapping[str, str], rollouts: Sequence[Rollout]) -> Iterator[Told]:
    batch = batch_of(rollouts).to(next(policy.parameters()).device)
    signals = policy.signals(batch, NO_REFERENCES, {*names.values()})
    dense = {name: signals[own].float().cpu().numpy() for name, own in names.items()}
    for b, rollout in enumerate(rollouts):
        lengths = [len(ids) for ids in rollout.responses]
        yield {
            name: tuple(values[b, k, :length] for k, length in enumerate(lengths))
            for name, values in dense.items()
        }
