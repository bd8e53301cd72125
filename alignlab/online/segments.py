"""Segments of good responses that the policy writes anew: SAPO, arXiv:2405.20830, equation 5."""

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np

from alignlab.judges.judge import Judged
from alignlab.online.listed import Listed
from alignlab.online.ways import Drawing, Ids, Start
from alignlab.sampling.noise import key_of
from alignlab.sampling.rollout import Prompt, Rollout
from alignlab.settings import Count


class Segments:
    """Lists of the best response of a row, A + B + C, and responses A + B' + C of which B' is drawn.

    B' is as long as `online.max_new_tokens` says, and begins at a place that is drawn with equal probability among
    those that leave `rest` tokens behind it. Where B' ends the response, there is no C.
    `online.samples` counts the best response too. No judge is asked: the row's own response is better.
    """

    judged = False
    rated = False

    def __init__(self, *, rest: Count = 3) -> None:
        self.rest = rest

    @property
    def name(self) -> str:
        """The name of the way, with its settings."""
        return f"segments, {self.rest} tokens behind them"

    def longest(self, given: int, most: int) -> int:
        """Return the length of the row's longest response, or that of a segment that is longer."""
        return max(given, most)

    def __call__(self, starts: Sequence[Start], by: Drawing) -> list[list[Listed]]:
        """Return one list for each start, whose response of the row comes first."""
        length = by.how.max_new_tokens
        better = [one.responses[int(np.argmax(one.labels))] for one in starts]
        places = [
            place_of(len(ids), length, self.rest, key_of(by.seed, f"{one.prompt.id} (place)"))
            for one, ids in zip(starts, better, strict=True)
        ]
        asked = [
            Prompt(one.prompt.id, [*one.prompt.ids, *ids[:place].tolist()])
            for one, ids, place in zip(starts, better, places, strict=True)
        ]
        drawn = by.generator.draw(asked, by.samples - 1, by.how)
        return [[_listed(*parts, by)] for parts in zip(starts, better, places, drawn, strict=True)]


def place_of(size: int, length: int, rest: int, key: tuple[int, int]) -> int:
    """Return where a segment of `length` tokens begins in a response of `size`: from 0 to size - rest - length.

    It is 0 in a response that is too short for any other place.
    """
    last = max(0, size - rest - length)
    return int(np.random.default_rng(key).integers(last + 1))


def rewritten(better: Ids, place: int, length: int, segment: Ids, stops: Collection[int]) -> Ids:
    """Return a response with another segment of at most `length` tokens from a place on.

    What stands behind the segment stays, unless the segment holds a token that ends a response: then that is the last.

    >>> rewritten(np.array([10, 11, 12, 13]), 1, 2, np.array([91, 92]), {2}).tolist()
    [10, 91, 92, 13]
    >>> rewritten(np.array([10, 11, 12, 13]), 1, 2, np.array([91, 2]), {2}).tolist()
    [10, 91, 2]
    """
    ends = [at for at, token in enumerate(segment.tolist()) if token in stops]
    if ends:
        return np.concatenate([better[:place], segment[: ends[0] + 1]])
    return np.concatenate([better[:place], segment, better[place + length :]])


def _listed(start: Start, better: Ids, place: int, drawn: Rollout, by: Drawing) -> Listed:
    """The list of one start: those that differ from the row's response stay beside it."""
    length = by.how.max_new_tokens
    responses, logps = [better], [np.zeros(len(better), np.float32)]  # what is copied is certain
    for segment, values in zip(drawn.responses, drawn.token_logps, strict=True):
        ids = rewritten(better, place, length, segment, by.stops)
        told = np.zeros(len(ids), np.float32)
        told[place : place + len(values)] = values
        responses.append(ids)
        logps.append(told)
    rollout = replace(
        drawn,
        prompt_ids=np.asarray(start.prompt.ids, dtype=np.int64),
        responses=tuple(responses),
        token_logps=tuple(logps),
        finished=tuple(bool(ids[-1] in by.stops) for ids in responses),
    )
    texts = tuple(map(by.decode, responses))
    kept = [0, *(k for k, ids in enumerate(responses) if not np.array_equal(ids, better))]
    one = Listed(rollout, start.row, texts, Judged(), start.text)
    if len(kept) == 1:
        return one.without("the segment came out as it was")
    return replace(one, kept=tuple(kept), labels=tuple(float(k == 0) for k in kept))
