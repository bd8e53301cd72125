"""Parses texts of the lab's world: their words, what a prompt asks for, what a sentence states."""

import re
from collections.abc import Iterator

from alignlab.lab.grammar import ASPECTS, FACTS, PREDICATES


def words(text: str) -> list[str]:
    """The lower-case words of a text, without punctuation."""
    return re.findall(r"\w+", text.lower())


def sentences_of(text: str) -> list[str]:
    """The sentences of a text, each with its punctuation mark.

    >>> sentences_of("The fox is red. It can dig.")
    ['The fox is red.', 'It can dig.']
    """
    return [sentence for sentence in re.split(r"(?<=[.!?]) ", text) if sentence]


def asked(prompt: str) -> tuple[str, str]:
    """The first animal and the first aspect that a prompt names; empty where it names none."""
    prompt_words = words(prompt)
    topic = next((word for word in prompt_words if word in FACTS), "")
    return topic, next((word for word in prompt_words if word in ASPECTS), "")


def parse(sentence: list[str], subject: str) -> tuple[str, str]:
    """A sentence, in words, as (animal, predicate); "it" stands for `subject`, the animal that was named last."""
    match sentence:
        case ["it", *rest] if subject:
            return subject, " ".join(rest)
        case ["the", topic, *rest] if topic in FACTS:
            return topic, " ".join(rest)
    return subject, ""


def statements(response: str, topic: str) -> Iterator[tuple[str, str, str]]:
    """Yield (animal, aspect, value) of each sentence; empty texts where it states nothing. `topic` was named before.

    >>> list(statements("It is red. Ask me again any time.", "fox"))
    [('fox', 'color', 'red'), ('', '', '')]
    """
    subject = topic
    for sentence in filter(None, map(words, re.split(r"[.!?\n]", response))):
        named, predicate = parse(sentence, subject)
        aspect, value = PREDICATES.get(predicate, ("", ""))
        subject = named if aspect else subject
        yield (named, aspect, value) if aspect else ("", "", "")
