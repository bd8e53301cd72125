"""Validation rows for objectives that ask what a sampler told: scored as if the policy had drawn them at the start."""

from dataclasses import replace

import numpy as np

from alignlab.data.encoding.token_rows import Array, Lists, TokenRows
from alignlab.objective.objective import Objective
from alignlab.policies.policy import Policy
from alignlab.sampling.rollout import Rollout
from alignlab.sampling.scored import token_logps
from alignlab.signals import DRAWN

OF_TOKENS = ("token_behavior_logps", "token_old_logps")


def as_if_drawn(rows: TokenRows, objective: Objective, policy: Policy) -> TokenRows:
    """Return rows with what the objective asks of a sampler, by the log-probabilities that the policy gives them now.

    So the loss on them is that against the policy which the run starts with; responses of the data count as finished.
    Where rows have no raw scores and the objective takes some, their labels stand in.
    """
    if rows.rewards is None and "rewards" in objective.signals:
        rows = replace(rows, rewards=rows.labels)
    wanted = DRAWN & objective.signals
    if not wanted:
        return rows
    numbers = [rows.members[index] for index in range(len(rows))]
    rollouts = [_rollout(rows, index, members) for index, members in enumerate(numbers)]
    places = np.concatenate(numbers)
    scores: list[Array] = [np.zeros(0)] * len(rows.responses)
    scored = token_logps(policy.model, rollouts, temperature=policy.temperature)
    for place, values in zip(places, (values for of_one in scored for values in of_one), strict=True):
        scores[place] = values.astype(np.float64)
    known = {
        **dict.fromkeys(OF_TOKENS, scores),
        "behavior_logps": [values.sum(keepdims=True) for values in scores],
        "token_behavior_values": [np.zeros(len(values)) for values in scores],  # a value head starts at 0
        "finished": [np.ones(1)] * len(scores),
        "from_reference": [np.zeros(1)] * len(scores),
    }
    return replace(rows, drawn={name: _lists(known[name]) for name in sorted(wanted)})


def _rollout(rows: TokenRows, index: int, members: Array) -> Rollout:
    responses = tuple(rows.responses[member].astype(np.int64) for member in members)
    return Rollout(
        rows.ids[index],
        rows.prompts[index].astype(np.int64),
        responses,
        (),
        (True,) * len(responses),
        0,
        "data",
    )


def _lists(values: list[Array]) -> Lists:
    offsets = np.cumsum([0, *map(len, values)], dtype=np.int64)
    return Lists(np.concatenate([*values, np.zeros(0)]), offsets)
