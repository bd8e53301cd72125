"""A rollout with what the judge says of it, and what of it is trained on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alignlab.judges.judge import Judged
from alignlab.sampling.rollout import Rollout

Array = NDArray[Any]


@dataclass(frozen=True)
class Listed:
    """The responses to one prompt, their verdicts, and which of them stay with which labels."""

    rollout: Rollout
    row: int
    """The number of the row of the data that gave the prompt."""
    texts: tuple[str, ...]
    """The responses as the judge read them."""
    judged: Judged
    prompt: str = ""
    """The contents of the prompt's turns, a line each, for people."""
    kept: tuple[int, ...] = ()
    """The numbers of the responses that stay, in their order."""
    labels: tuple[float, ...] = ()
    """A label for each that stays; larger is better."""
    rewards: tuple[float, ...] | None = None
    """A reward for each that stays, as it is trained on; None of a judge that gives preferences alone."""
    told: Mapping[str, tuple[Array, ...]] = field(default_factory=dict)
    """What an objective asks for and the sampler does not tell, by signal: what the policy itself said of each token at
    drawing (`token_old_logps`, `token_behavior_values`), or a value for each response (`from_reference`)."""
    gold: tuple[float, ...] | None = None
    """The exact reward of each response, where there is one; nothing is trained on it."""
    part: int = 0
    """The number of this list among those of its prompt."""
    dropped: str = ""
    """Why nothing of the list is trained on; empty where something is."""

    @property
    def by_policy(self) -> list[Array]:
        """The responses that the policy drew, and no reference."""
        others = self.told.get("from_reference", (0,) * len(self.rollout.responses))
        return [ids for ids, other in zip(self.rollout.responses, others, strict=True) if not other]

    def without(self, reason: str) -> "Listed":
        """This list as one that is dropped for this reason."""
        return replace(self, kept=(), labels=(), rewards=None, dropped=reason)

    def as_line(self) -> dict[str, Any]:
        """This list as plain values, from which `of_line` makes it again, to the last bit."""
        rollout, judged = self.rollout, self.judged
        return {
            "id": rollout.id,
            "row": self.row,
            "prompt": self.prompt,
            "texts": list(self.texts),
            "judged": judged.rewards,
            "kept": list(self.kept),
            "labels": list(self.labels),
            "rewards": self.rewards,
            "dropped": self.dropped,
            "finished": list(rollout.finished),
            "preferences": judged.preferences,
            "aspects": dict(judged.aspects),
            "reasons": list(judged.reasons),
            "unsaid": judged.unsaid,
            "version": rollout.version,
            "sampler": rollout.sampler,
            "prompt_ids": rollout.prompt_ids.tolist(),
            "response_ids": [ids.tolist() for ids in rollout.responses],
            "token_logps": _plain(rollout.token_logps),
            "gold": self.gold,
            "part": self.part,
            "told": {name: _plain(values) for name, values in self.told.items()},
        }


def of_line(line: Mapping[str, Any]) -> Listed:
    """Return the list that a line of a file of rollouts holds."""
    rollout = Rollout(
        id=line["id"],
        prompt_ids=np.asarray(line["prompt_ids"], dtype=np.int64),
        responses=tuple(np.asarray(ids, dtype=np.int64) for ids in line["response_ids"]),
        token_logps=_arrays(line["token_logps"]),
        finished=tuple(line["finished"]),
        version=line["version"],
        sampler=line["sampler"],
    )
    judged = Judged(
        rewards=_tuple(line["judged"]),
        preferences=None if line["preferences"] is None else tuple(map(tuple, line["preferences"])),
        aspects={name: tuple(values) for name, values in line["aspects"].items()},
        reasons=tuple(line["reasons"]),
        unsaid=line["unsaid"],
    )
    return Listed(
        rollout,
        line["row"],
        tuple(line["texts"]),
        judged,
        line["prompt"],
        tuple(line["kept"]),
        tuple(line["labels"]),
        _tuple(line["rewards"]),
        {name: _arrays(values) for name, values in line["told"].items()},
        _tuple(line["gold"]),
        line.get("part", 0),
        line["dropped"],
    )


def _plain(of_responses: Sequence[Array]) -> list[list[float]]:
    """Numbers in as many digits as float32 has, and no more."""
    return [[float(f"{value:.9g}") for value in values] for values in of_responses]


def _arrays(of_responses: Sequence[Sequence[float]]) -> tuple[Array, ...]:
    return tuple(np.asarray(values, dtype=np.float32) for values in of_responses)


def _tuple(values: Any) -> Any:
    return None if values is None else tuple(values)
