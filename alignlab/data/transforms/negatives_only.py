"""Keeps the bad response of a list, without the one that people preferred, for dispreference optimization."""

from collections.abc import Iterator
from dataclasses import replace

from alignlab.data.encoding.chat_text import turns_of
from alignlab.data.reading.rows import Drop
from alignlab.data.tables.lists import take, with_copies
from alignlab.errors import one_of
from alignlab.types import Example


def negatives_only(example: Example, *, against: str = "middle") -> Iterator[Example]:
    """Keep the worst response (of equals the first), last and labelled 0, after others labelled 1.

    The result is the data of `objective=d2o` (arXiv:2403.03419), whose only human response is the bad one. The
    best responses are left out. `against` says what stands for the model's own samples:

    samples   the texts of meta["samples"], drawn from the model beforehand, as in the paper; no raw scores
    middle    the responses strictly between the best and the worst, their order forgotten
    none      nothing: a single undesirable response, for kto, or for a recipe that draws samples

    Drops lists of equal labels (a lone response is a negative where its label is below 0.5), and rows
    without any response to compare the negative with.
    """
    one_of("pipeline.negatives_only.against", against, ("samples", "middle", "none"))
    labels = example.labels
    worst, best = labels.index(min(labels)), max(labels)
    if labels[worst] >= (best if len(labels) > 1 else 0.5):
        raise Drop("no response is worse than another" if len(labels) > 1 else "a desirable response")
    if against == "samples":
        negative = turns_of(example.responses[worst])
        samples = [turns for turns in map(turns_of, example.meta.get("samples") or []) if turns != negative]
        if not samples:
            raise Drop('no samples of the model in meta["samples"]')
        result = with_copies(example, [worst], worst, samples, [1.0] * len(samples))
        result = take(result, [*range(1, len(result.labels)), 0])
    else:
        between = [i for i, label in enumerate(labels) if labels[worst] < label < best]
        if against == "middle" and not between:
            raise Drop("no response between the best and the worst: use against=samples or against=none")
        result = take(example, [*(between if against == "middle" else []), worst])
    yield replace(result, labels=[*[1.0] * (len(result.labels) - 1), 0.0])
