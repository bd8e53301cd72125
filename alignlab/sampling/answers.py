"""What a server answers to a request for completions, read strictly: what it left out or changed is told."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from alignlab.errors import RunError
from alignlab.sampling.rollout import Prompt


class Drawn(NamedTuple):
    """The responses of an answer, in the order of their numbers."""

    responses: tuple[np.ndarray, ...]
    token_logps: tuple[np.ndarray, ...]
    finished: tuple[bool, ...]


def drawn_of(answer: Any, prompt: Prompt, n: int, stop: Sequence[int], most: int, where: str) -> Drawn:
    """Read the `n` responses to a prompt, of at most so many tokens, out of an answer to /v1/completions.

    Raises RunError, which names the server by `where`, for an answer that lacks what was asked for: choices, token ids,
    a log-probability of every token, the end of a response.
    """
    choices = answer.get("choices") if isinstance(answer, Mapping) else None
    if not isinstance(choices, list) or not all(isinstance(choice, Mapping) for choice in choices):
        raise RunError(f"{where}: its answer has no choices, so that it is none to /v1/completions")
    numbers = sorted(choice.get("index", -1) for choice in choices)
    if numbers != [*range(n)]:
        raise RunError(
            f"{where}: {n} responses were asked for, and its answer has {len(choices)}, numbered {numbers}: a server "
            "that ignores `n` draws no lists"
        )
    if answer.get("prompt_token_ids") is None:
        read = choices[0].get("prompt_token_ids")
        if read is not None and read != [*prompt.ids]:
            raise RunError(f"{where}: it read another prompt than the token ids that it was given")
    ordered = sorted(choices, key=lambda choice: choice["index"])
    parts = [_choice(choice, prompt, stop, most, where) for choice in ordered]
    ids, logps, finished = zip(*parts, strict=True)
    return Drawn(tuple(ids), tuple(logps), tuple(finished))


def _choice(
    choice: Mapping[str, Any], prompt: Prompt, stop: Sequence[int], most: int, where: str
) -> tuple[np.ndarray, np.ndarray, bool]:
    what = f"{where}: response {choice['index']} to prompt {prompt.id}"
    ids = choice.get("token_ids")
    if not isinstance(ids, list) or not ids or not all(type(token) is int for token in ids):
        raise RunError(
            f"{what} has no token ids: the server does not know `return_token_ids` (vLLM and `alignlab serve` do), and "
            "ids made of its text may be others than those it drew"
        )
    logprobs = choice.get("logprobs")
    logps = logprobs.get("token_logprobs") if isinstance(logprobs, Mapping) else None
    if not isinstance(logps, list) or len(logps) != len(ids):
        raise RunError(
            f"{what} has {len(ids)} tokens and {len(logps) if isinstance(logps, list) else 'no'} log-probabilities: a "
            "server that ignores `logprobs` serves no training"
        )
    if not all(isinstance(logp, (int, float)) and math.isfinite(logp) and logp <= 1e-3 for logp in logps):
        raise RunError(f"{what} has log-probabilities that are none: NaN, missing or above 0")
    finished = ids[-1] in stop
    reason = choice.get("finish_reason")
    if reason not in ("stop", "length"):
        raise RunError(f"{what} was broken off by the server (finish_reason {reason!r})")
    if len(ids) > most or any(token in stop for token in ids[:-1]):
        raise RunError(f"{what} goes on behind its end, or has more than {most} tokens")
    if not finished and (reason == "stop" or len(ids) < most):
        raise RunError(
            f"{what} has {len(ids)} tokens and ends with token {ids[-1]}, which is no end of a response here "
            f"({', '.join(map(str, stop)) or 'there is none'}): the server stops at others, or leaves the end out"
        )
    return np.asarray(ids, dtype=np.int64), np.asarray(logps, dtype=np.float32), finished
