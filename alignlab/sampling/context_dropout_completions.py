"""Adds a negative that a model wrote without part of the context, along the best response: BDHS, arXiv:2407.02477."""

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated

from alignlab.console import tracked
from alignlab.data.reading.rows import Drop, Dropped
from alignlab.data.steps import Makes, Reads
from alignlab.data.tables.lists import take, with_copies
from alignlab.data.transforms.context_dropout_negatives import hidden_sentences, without_sentences
from alignlab.data.transforms.margins import ends
from alignlab.data.transforms.texts import written
from alignlab.data.transforms.words import SENTENCE
from alignlab.sampling.continued_texts import Begun, Writer
from alignlab.sampling.settings import Sampling
from alignlab.sampling.text_vectors import encoded, pooled
from alignlab.settings import Positive, PositiveNumber, PositiveShare, Seed, whole
from alignlab.types import Example, Message

AT_ONCE = 256
"""The number of rows that are worked on together."""
KEY = "pipeline.context_dropout_completions"
TOO_LONG = "its prompt and response leave no room in the model's context"


@dataclass
class Draft:
    """The negative of a row in the making."""

    example: Example
    best: int
    text: str
    """The best response."""
    negative: str = ""
    likeness: float = 1.0
    guided: bool = True
    trouble: str = ""
    """Why the row has no negative."""

    @property
    def prompt(self) -> list[Message]:
        """The prompt of the best response, whole."""
        return take(self.example, [self.best]).prompt


@dataclass(frozen=True)
class Completing:
    """How negatives are written, by which model."""

    writer: Writer
    how: Sampling
    rate: float
    likeness: float
    tries: int
    encoder: str | None

    def __call__(self, drafts: Sequence[Draft]) -> None:
        """Write the negatives of these rows, each anew until it is unlike enough, and in the end without a guide."""
        left = [*drafts]
        for number in range(self.tries + 1):
            keys = [f"{one.example.id}/{number}" for one in left]
            draws = [random.Random(f"context_dropout/{self.how.seed}/{key}") for key in keys]
            begun = [
                Begun(
                    key, without_sentences(one.prompt, "user", hidden_sentences(one.prompt, self.rate, draw))
                )
                for one, key, draw in zip(left, keys, draws, strict=True)
            ]
            if number < self.tries:
                self._guided(left, begun, draws)
            else:
                self._unguided(left, begun)
            left = self._alike(left)
            if not left:
                return

    def _guided(
        self, drafts: Sequence[Draft], begun: Sequence[Begun], draws: Sequence[random.Random]
    ) -> None:
        """Write each response sentence by sentence, from a random place of each sentence of the best response on."""
        parts = [parted(one.text) for one in drafts]
        for one in drafts:
            one.negative = ""
        for place in range(max(map(len, parts))):
            some = [i for i, of_one in enumerate(parts) if place < len(of_one) and not drafts[i].trouble]
            starts = [
                drafts[i].negative + parts[i][place][0] + beginning(parts[i][place][1], draws[i])
                for i in some
            ]
            asked = [
                replace(begun[i], id=f"{begun[i].id}/{place}", beginning=start)
                for i, start in zip(some, starts, strict=True)
            ]
            for i, start, text in zip(some, starts, self.writer(asked, self.how), strict=True):
                before = len(drafts[i].negative) + len(parts[i][place][0])
                drafts[i].trouble = TOO_LONG if text is None else ""
                drafts[i].negative = start[:before] + first_sentence((text or start)[before:])

    def _unguided(self, drafts: Sequence[Draft], begun: Sequence[Begun]) -> None:
        """Have the model answer the shorter prompt for itself, at the length that these sentences might have had."""
        sentences = max(len(parted(one.text)) for one in drafts)
        how = replace(self.how, max_new_tokens=self.how.max_new_tokens * sentences)
        for one, text in zip(drafts, self.writer(begun, how), strict=True):
            one.guided, one.negative, one.trouble = False, text or "", TOO_LONG if text is None else ""

    def _alike(self, drafts: Sequence[Draft]) -> list[Draft]:
        """Compare the responses; returns the rows whose negative is too much like the best response."""
        fit = [one for one in drafts if not one.trouble]
        texts = [text for one in fit for text in (one.text, one.negative)]
        if not fit:
            return []
        if self.encoder is None:
            vectors = pooled(self.writer.loaded, texts)
        else:
            vectors = encoded(self.encoder, texts, f"{KEY}.encoder")
        for place, one in enumerate(fit):
            one.likeness = float(vectors[2 * place] @ vectors[2 * place + 1])
            if not one.guided and one.negative.strip() in ("", one.text.strip()):
                one.trouble = "what the model writes without the context is the best response, or nothing"
        return [one for one in fit if one.likeness > self.likeness or not one.negative.strip()]


def context_dropout_completions(
    examples: Sequence[Example],
    *,
    model: str | None = None,
    rate: PositiveShare = 0.5,
    likeness: PositiveShare = 0.97,
    tries: Annotated[int, whole(1, 100)] = 4,
    encoder: str | None = None,
    temperature: PositiveNumber = 1.0,
    max_new_tokens: Positive = 48,
    keep_others: bool = False,
    seed: Seed = 0,
) -> Annotated[Iterator[Example | Dropped], Makes("lists"), Reads(("model",))]:
    """Keep the best response, and add a negative labelled 0 that the model in the folder `model` wrote along it.

    As in context_dropout_negatives, sentences of the user's turns are hidden, each with probability `rate`. Sentence by
    sentence, the model that does not see them goes on from a random place of the best response's own, behind what it
    wrote before, with at most `max_new_tokens` up to the end of the sentence. Where the cosine of both responses is
    above `likeness`, other sentences are hidden and others drawn, `tries` times in all; then the model answers the
    shorter prompt without the best response as a guide. Vectors are means of the model's final states, or those of
    `encoder`, a folder or name for sentence-transformers. meta["dropout"] has the likeness, and whether the negative is
    guided. `keep_others` keeps the other responses, with their labels. The result has no raw scores.

    Drops prompts of one sentence, those beyond the model's context, and responses of several turns. Raises ConfigError
    for a folder without a language model.
    """
    how = Sampling(temperature=temperature, max_new_tokens=max_new_tokens, seed=seed)
    complete = Completing(Writer(model, f"{KEY}.model"), how, rate, likeness, tries, encoder)
    with tracked("negatives without context", len(examples)) as advance:
        for start in range(0, len(examples), AT_ONCE):
            some = [examples[i] for i in range(start, min(start + AT_ONCE, len(examples)))]
            drafts = [_draft(example) for example in some]
            complete([one for one in drafts if not one.trouble])
            for one in drafts:
                yield Dropped(one.example.id, one.trouble) if one.trouble else _row(one, keep_others)
            advance(len(some))


def _draft(example: Example) -> Draft:
    best, _ = ends(example)
    draft = Draft(example, best, written(example.responses[best]))
    try:
        if example.labels[best] <= 0:
            raise Drop("the best label is not above 0: no negative can rank below it")
        if not isinstance(example.responses[best], str) and len(example.responses[best]) > 1:
            raise Drop("the best response has several turns")
        hidden_sentences(draft.prompt, 1.0, random.Random(0))
    except Drop as drop:
        draft.trouble = str(drop)
    return draft


def _row(draft: Draft, keep_others: bool) -> Example:
    example = draft.example
    keep = [i for i in range(len(example.labels)) if i == draft.best or keep_others]
    row = with_copies(example, keep, draft.best, [draft.negative], [0.0])
    dropout = {"likeness": round(draft.likeness, 6), "guided": draft.guided}
    return replace(row, meta={**row.meta, "dropout": dropout})


def parted(text: str) -> list[tuple[str, str]]:
    """Return the sentences of a text, each with the blanks before it.

    >>> parted("It is red. It digs.")
    [('', 'It is red.'), (' ', 'It digs.')]
    """
    parts, end = [], 0
    for match in SENTENCE.finditer(text):
        if match[0]:
            parts.append((text[end : match.start()], match[0]))
        end = match.end()
    return parts


def beginning(sentence: str, draw: random.Random) -> str:
    """Return the first words of a sentence: one at least, and where it has several not all of them."""
    words = [*re.finditer(r"\S+", sentence)]
    return sentence[: words[draw.randrange(max(1, len(words) - 1))].end()]


def first_sentence(text: str) -> str:
    """Return a text up to the end of its first sentence.

    >>> first_sentence("It is a fox. It digs.")
    'It is a fox.'
    """
    match = SENTENCE.match(text)
    return match[0] if match else text
