"""Texts in which two words changed places, so that they say something else with the same words."""

import random
import re

from alignlab.data.transforms.words import SENTENCE, STOP_WORDS, WORD, plain

Span = re.Match[str]


def attributes_swapped(text: str, draw: random.Random) -> str:
    """Return the text with the last content words of two of its sentences exchanged; as it is where no two differ.

    What is said of one is then said of the other.

    >>> attributes_swapped("The cat is red. The dog is small.", random.Random(0))
    'The cat is small. The dog is red.'
    """
    ends = [spans[-1] for spans in _content(text) if len(spans) > 1]
    pairs = [(a, b) for place, a in enumerate(ends) for b in ends[place + 1 :] if _differ(a, b)]
    return _exchanged(text, *draw.choice(pairs)) if pairs else text


def relations_swapped(text: str, draw: random.Random) -> str:
    """Return the text with first and last content word of a sentence of three or more exchanged; else as it is.

    Who does something and whom it is done to have changed places.

    >>> relations_swapped("The horse eats the grass.", random.Random(0))
    'The grass eats the horse.'
    """
    pairs = [(s[0], s[-1]) for s in _content(text) if len(s) > 2 and _differ(s[0], s[-1])]
    return _exchanged(text, *draw.choice(pairs)) if pairs else text


def _content(text: str) -> list[list[Span]]:
    """Return where the content words of each sentence stand."""
    return [
        [
            word
            for word in WORD.finditer(text, sentence.start(), sentence.end())
            if plain(word[0]) not in STOP_WORDS
        ]
        for sentence in SENTENCE.finditer(text)
    ]


def _differ(a: Span, b: Span) -> bool:
    return plain(a[0]) != plain(b[0])


def _exchanged(text: str, a: Span, b: Span) -> str:
    between = text[a.end() : b.start()]
    return f"{text[: a.start()]}{b[0]}{between}{a[0]}{text[b.end() :]}"
