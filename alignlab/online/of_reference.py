"""One response of each list is the reference's own, where an objective tells such responses from the policy's."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from alignlab.online.listed import Array
from alignlab.sampling.rollout import Prompt, Rollout

DrawOne = Callable[[Sequence[Prompt]], Sequence[Rollout]]
"""Draws one response to each prompt."""


def with_one_of_reference(rollouts: Sequence[Rollout], draw: DrawOne) -> list[Rollout]:
    """Return the rollouts of the policy with a response of the reference at the end of each.

    Its noise is its own: as another sample of another prompt has.
    """
    asked = [Prompt(f"{one.id} (reference)", one.prompt_ids.tolist()) for one in rollouts]
    return [_joined(one, other) for one, other in zip(rollouts, draw(asked), strict=True)]


def from_reference(rollout: Rollout) -> tuple[Array, ...]:
    """Return for each response whether it is the reference's: 1 for the last one, 0 for the others."""
    last = len(rollout.responses) - 1
    return tuple(np.array([float(place == last)], dtype=np.float32) for place in range(last + 1))


def _joined(one: Rollout, other: Rollout) -> Rollout:
    return replace(
        one,
        responses=one.responses + other.responses,
        token_logps=one.token_logps + other.token_logps,
        finished=one.finished + other.finished,
    )
