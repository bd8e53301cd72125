"""Makes preferences between responses to different prompts, from unrelated rows."""

import hashlib
import json
import math
import random
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from typing import Annotated, NamedTuple

from alignlab.data.reading.rows import Dropped
from alignlab.data.tables.lists import PER_RESPONSE, per_response, take
from alignlab.errors import ConfigError, one_of
from alignlab.settings import NonNegative, Range, Seed
from alignlab.types import Example

WAITING = 64
"""The number of responses of a source that wait for a partner; one more ends the wait of the first."""


class Offer(NamedTuple):
    """One response of a row, offered for comparison with that of another row."""

    key: int
    """The turn of the offer: a number drawn from seed, round and id."""
    row: int
    place: int
    score: float
    prompt: int
    """The hash of the prompt of the response."""
    source: str


def joint(
    examples: Sequence[Example],
    *,
    share: Annotated[
        float, Range("a number above 0, up to 100, of joint lists a row", math.ulp(0.0), 100)
    ] = 0.5,
    keep_conditional: bool = True,
    by: str = "labels",
    min_gap: NonNegative = 0.0,
    same_source: bool = True,
    seed: Seed = 0,
) -> Iterator[Example | Dropped]:
    """Keep the rows, and add lists of two responses to two prompts: the data of DOVE, arXiv:2404.00530.

    About `share` joint lists a row are made, in rounds. A round draws one response of each row, and
    pairs each with one of another prompt whose score (`by`: labels or rewards, which must mean the
    same in all rows) differs by more than `min_gap`; `same_source` compares within meta["source"] alone.
    The better one gets the label 1, the other 0, in the order in which they were drawn. meta["prompts"]
    holds their prompts, and meta["rows"] the ids of their rows; `objective=dove` takes such lists.
    With `by=none` responses are paired whatever their scores, and have equal labels: for a judge to say which is
    better (`alignlab annotate`); as they are, nothing is trained on them.

    `keep_conditional` keeps the rows with at least 2 responses: preferences given one prompt. Rows that
    end up in no list are dropped. Which lists are made does not depend on the order of the rows.
    """
    one_of("pipeline.joint.by", by, ("labels", "rewards", "none"))
    if by == "none" and min_gap:
        raise ConfigError(
            f"pipeline.joint.min_gap={min_gap}: with by=none there are no scores to differ: drop one"
        )
    gap = -math.inf if by == "none" else min_gap
    matches: dict[tuple[int, int, int, int], None] = {}  # a set that keeps the order
    for turn in range(math.ceil(2 * share)):
        offers = sorted(_offers(examples, by, same_source, f"{seed}/{turn}"))
        matches.update(dict.fromkeys((a.row, a.place, b.row, b.place) for a, b in _matched(offers, gap)))
    lists = list(matches)[: max(1, round(share * len(examples)))]
    used = {row for a, _, b, _ in lists for row in (a, b)}
    for row, example in enumerate(examples):
        if keep_conditional and len(example.labels) > 1:
            yield example
        elif row not in used:
            yield Dropped(example.id, "in no joint list")
    for a, place_a, b, place_b in lists:
        yield _joined((examples[a], examples[b]), (place_a, place_b), by)


def _offers(examples: Sequence[Example], by: str, same_source: bool, turn: str) -> Iterator[Offer]:
    """An offer of one response of every row that has scores."""
    for row, example in enumerate(examples):
        scores = example.rewards if by == "rewards" else example.labels
        if scores is None:
            continue
        draw = random.Random(f"joint/{turn}/{example.id}")
        place = draw.randrange(len(scores))
        prompt = _hash(take(example, [place]).prompt)
        source = str(example.meta.get("source", "")) if same_source else ""
        yield Offer(draw.getrandbits(63), row, place, scores[place], prompt, source)


def _matched(offers: Sequence[Offer], min_gap: float) -> Iterator[tuple[Offer, Offer]]:
    """Pairs of offers: each with the first waiting one that it may be compared with; every offer at most once."""
    waiting: dict[str, deque[Offer]] = defaultdict(lambda: deque(maxlen=WAITING))
    for offer in offers:
        queue = waiting[offer.source]
        for other in queue:
            if other.prompt != offer.prompt and abs(other.score - offer.score) > min_gap:
                queue.remove(other)
                yield other, offer
                break
        else:
            queue.append(offer)


def _joined(rows: tuple[Example, Example], places: tuple[int, int], by: str) -> Example:
    a, b = (take(row, [place]) for row, place in zip(rows, places, strict=True))
    scores = (a.rewards or []) + (b.rewards or []) if by == "rewards" else a.labels + b.labels
    labels = [0.5, 0.5] if by == "none" else [float(scores[0] > scores[1]), float(scores[1] > scores[0])]
    shared = {name: (per_response(a, name), per_response(b, name)) for name in PER_RESPONSE}
    meta = {name: [*first, *second] for name, (first, second) in shared.items() if first and second}
    sources = list(dict.fromkeys(row.meta["source"] for row in rows if "source" in row.meta))
    return Example(
        prompt=a.prompt,
        responses=[*a.responses, *b.responses],
        labels=labels,
        rewards=None if by == "none" or a.rewards is None or b.rewards is None else [*a.rewards, *b.rewards],
        weight=(a.weight + b.weight) / 2,
        id=f"{a.id}/{places[0]}~{b.id}/{places[1]}",
        meta={
            **meta,
            **({"source": "+".join(map(str, sources))} if sources else {}),
            "prompts": [a.prompt, b.prompt],
            "rows": [a.id, b.id],
        },
    )


def _hash(prompt: object) -> int:
    return int.from_bytes(hashlib.blake2b(json.dumps(prompt).encode(), digest_size=8).digest(), "big")
