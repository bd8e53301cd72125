"""Lists whose responses are kin: one word apart, the same in other words, or branches of one tree."""

import math
import random
from collections.abc import Sequence

from alignlab.lab.grammar import TRUE, VALUES, state
from alignlab.lab.reading import asked, sentences_of, statements
from alignlab.lab.writers import Draft, Writer, go_on

KINDS = ("free", "edits", "rewordings", "tree")
"""How the responses of a list belong together."""
MOST = 8
"""Largest list of copies: a short response has few words that can be exchanged."""


def edits(rng: random.Random, prompt: str, base: str, count: int) -> list[str]:
    """`base` with one true statement about the animal asked for, and copies in which one true value is false.

    All have the same length, and differ from the first in a single word. Empty where `base` has too few
    statements to make `count` of them.
    """
    return _written(_false(rng, prompt, base, count))


def rewordings(rng: random.Random, prompt: str, base: str, count: int) -> list[str]:
    """Responses one fact apart, as in `edits`, whose sentences stand in other orders than those of the first.

    They are near in meaning and far apart in words.
    """
    contents = _false(rng, prompt, base, count)
    aspects = [said[:3] if said[0] else said[3] for said in contents[0]] if contents else []
    if len(set(aspects)) < 2:
        return []
    orders = [rng.sample(range(len(aspects)), len(aspects)) for _ in contents]
    for order in orders[1:]:
        while [aspects[i] for i in order] == [aspects[i] for i in orders[0]]:
            rng.shuffle(order)
    return _written([[said[i] for i in order] for said, order in zip(contents, orders, strict=True)])


def tree(rng: random.Random, prompt: str, by: Sequence[Writer]) -> list[str]:
    """One response of each writer, all of as many sentences: they share the first, and part at every next one.

    Of K responses, half share two sentences, a quarter three, and so on: the leaves of a binary tree.
    """
    least = 1 + math.ceil(math.log2(len(by)))
    root = Draft(prompt)
    go_on(rng, root, rng.choice(by))
    return _grown(rng, root, by, rng.randint(max(3, least), max(5, least)))


def _grown(rng: random.Random, draft: Draft, by: Sequence[Writer], steps: int) -> list[str]:
    if len(draft.text) == steps:
        return [" ".join(draft.text)]
    half = (len(by) + 1) // 2
    leaves: list[str] = []
    taken: set[str] = set()
    for group in filter(None, (by[:half], by[half:])):
        while True:
            branch = draft.branch()
            go_on(rng, branch, group[0])
            if branch.text[-1] not in taken:
                break
        taken.add(branch.text[-1])
        leaves += _grown(rng, branch, group, steps)
    return leaves


Said = tuple[str, str, str, str]
"""Animal, aspect and value of a statement, and its text; a sentence that states nothing is its text alone."""


def _false(rng: random.Random, prompt: str, base: str, count: int) -> list[list[Said]]:
    """The content of `base` with a true statement about the topic, and of copies with one false value each."""
    topic, _ = asked(prompt)
    said, texts = list(statements(base, topic)), sentences_of(base)
    places = [i for i, (about, *_) in enumerate(said) if about == topic]
    if not places or len(said) != len(texts):
        return []
    content: list[Said] = [(*what, text) for what, text in zip(said, texts, strict=True)]
    first = rng.choice(places)
    content[first] = _with(content[first], TRUE[topic][content[first][1]])
    options = [
        (i, value)
        for i in places
        for value in VALUES[content[i][1]]
        if content[i][2] == TRUE[topic][content[i][1]] != value
    ]
    if len(options) < count - 1:
        return []
    copies = []
    for i, value in rng.sample(options, count - 1):
        copy = list(content)
        copy[i] = _with(copy[i], value)
        copies.append(copy)
    return [content, *copies]


def _with(said: Said, value: str) -> Said:
    about, aspect, _, text = said
    return about, aspect, value, text


def _written(contents: Sequence[Sequence[Said]]) -> list[str]:
    """Texts, in which "it" stands for an animal only where that was named last."""
    return [" ".join(_sentences(content)) for content in contents]


def _sentences(content: Sequence[Said]) -> list[str]:
    sentences, subject = [], ""
    for about, aspect, value, text in content:
        pronoun = about == subject and text.startswith("It ")
        sentences.append(state(about, aspect, value, pronoun=pronoun) if about else text)
        subject = about or subject
    return sentences
