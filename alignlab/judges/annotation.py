"""Rows of preference data as judges see them, and as they are written with what the judges said."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from alignlab.data.tables.lists import per_response, take
from alignlab.data.transforms.texts import prompts, written
from alignlab.judges.judge import Asked, Judged
from alignlab.judges.scores import scores_of
from alignlab.types import Example

NOT_ASKED = "beyond the budget"


@dataclass
class Account:
    """What became of the rows: how many were written, and why others were not, by judge and reason."""

    written: int = 0
    unsaid: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By judge and reason: lists without a verdict; those of the first judge are not written."""
    left_out: int = 0
    """Responses without a verdict of the first judge, left out of lists that were written."""


def asked_of(example: Example) -> Asked | str:
    """Return what a judge is asked of a row, or why it cannot be asked."""
    if any(not isinstance(response, str) and len(response) > 1 for response in example.responses):
        return "a response of several turns"
    if any("token_ids" in turn for prompt in prompts(example) for turn in prompt):
        return "token ids, and no text"
    texts = tuple(written(response) for response in example.responses)
    own = per_response(example, "prompts") or ()
    return Asked(example.id, example.prompt, texts, meta=example.meta, prompts=tuple(own))


def annotated(
    examples: Sequence[Example],
    said: Mapping[str, Sequence[Judged | None]],
    identities: Mapping[str, str],
    account: Account,
) -> Iterator[dict[str, Any]]:
    """Yield rows in the schema of `data=local`, labelled by the first judge, with the scores of all of them.

    `said` holds the verdicts of each judge by its name; None where it was not asked of a row, whose first judge then is
    the next one. `meta["ratings"]` has, for each response, every judge's score
    by its name, its aspects as `name/aspect`, and the label that it had before as `given`; `meta["critiques"]` the
    reasons of the first judge that gives any; `meta["wins"]` the first judge's preferences where it compares;
    `meta["judges"]` the identity of each judge, and `meta["unsaid"]` why one of them has no verdict.
    """
    for place, example in enumerate(examples):
        verdicts = {name: one for name, of_judge in said.items() if (one := of_judge[place]) is not None}
        for name, judged in verdicts.items():
            if judged.unsaid is not None:
                account.unsaid[name, judged.unsaid] += 1
        first = next(iter(verdicts.values()))
        scores = scores_of(first)
        kept = [i for i, score in enumerate(scores or ()) if score is not None]
        if not kept or (len(kept) < 2 <= len(example.responses)):
            if first.unsaid is None:
                account.unsaid[next(iter(verdicts)), "fewer than two responses with a verdict"] += 1
            continue
        account.written += 1
        account.left_out += len(example.responses) - len(kept)
        yield _row(take(_with_verdicts(example, verdicts, identities), kept), first, scores or (), kept)


def _with_verdicts(
    example: Example, verdicts: Mapping[str, Judged], identities: Mapping[str, str]
) -> Example:
    ratings: list[dict[str, float | None]] = [{"given": label} for label in example.labels]
    for name, judged in verdicts.items():
        columns = {name: scores_of(judged), **{f"{name}/{key}": v for key, v in judged.aspects.items()}}
        for key, values in columns.items():
            for rating, value in zip(ratings, values or (), strict=False):
                rating[key] = value
    meta: dict[str, Any] = {k: v for k, v in example.meta.items() if k != "wins"}
    meta |= {"ratings": ratings, "judges": {name: identities[name] for name in verdicts}}
    if reasons := next((judged.reasons for judged in verdicts.values() if judged.reasons), ()):
        meta["critiques"] = [*reasons]
    if unsaid := {name: judged.unsaid for name, judged in verdicts.items() if judged.unsaid is not None}:
        meta["unsaid"] = unsaid
    first = next(iter(verdicts.values()))
    if first.preferences is not None:
        meta["wins"] = [[*row] for row in first.preferences]
    labels = [*example.labels]
    return Example(example.prompt, example.responses, labels, None, example.weight, example.id, meta)


def _row(taken: Example, first: Judged, scores: Sequence[Any], kept: Sequence[int]) -> dict[str, Any]:
    meta = dict(taken.meta)
    if any(value is None for row in meta.get("wins", ()) for value in row):
        del meta["wins"]  # not every two responses were compared
    values = [scores[i] for i in kept]
    by = {"rewards": values} if first.rewards is not None else {"labels": values}
    responses = [written(response) for response in taken.responses]
    weight = {} if taken.weight == 1 else {"weight": taken.weight}
    return {"id": taken.id, "prompt": taken.prompt, "responses": responses, **by, **weight, "meta": meta}
