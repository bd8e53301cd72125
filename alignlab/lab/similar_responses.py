"""Writes lists of similar responses: one word apart, the same in other words, or branches of one tree."""

import math
import random
from collections.abc import Sequence

from alignlab.lab.grammar import TRUE, VALUES, state
from alignlab.lab.reading import asked, sentences_of, statements
from alignlab.lab.writers import Draft, Writer, go_on

KINDS = ("free", "edits", "rewordings", "tree")
"""The kinds of similarity between the responses of a list; `free` responses have none."""
MOST = 8
"""The largest list of edits or rewordings: a short response has few words that can be exchanged."""


def edits(rng: random.Random, prompt: str, base: str, count: int) -> list[str]:
    """`base` with a true statement about the animal asked for, and copies with one true value made false.

    All `count` responses have the same length, and differ from the first in a single word. The list is empty
    where `base` has too few statements.
    """
    return _written(_false(rng, prompt, base, count))


def rewordings(rng: random.Random, prompt: str, base: str, count: int) -> list[str]:
    """The responses of `edits`, of which none has its sentences in the order of the first: near in meaning alone."""
    contents = _false(rng, prompt, base, count)
    meanings = [sentence[:3] if sentence[0] else sentence[3] for sentence in contents[0]] if contents else []
    if len(set(meanings)) < 2:
        return []
    orders = [rng.sample(range(len(meanings)), len(meanings)) for _ in contents]
    for order in orders[1:]:
        while [meanings[i] for i in order] == [meanings[i] for i in orders[0]]:
            rng.shuffle(order)
    return _written([[sentence[i] for i in order] for sentence, order in zip(contents, orders, strict=True)])


def tree(rng: random.Random, prompt: str, by: Sequence[Writer]) -> list[str]:
    """One response of each writer, all of as many sentences: a tree that shares the first and branches at each next.

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


Sentence = tuple[str, str, str, str]
"""A sentence: animal, aspect and value of its statement, and its text; all but the text are empty without one."""


def _false(rng: random.Random, prompt: str, base: str, count: int) -> list[list[Sentence]]:
    """The content of `base` with a true statement about the topic, and of copies with one false value each."""
    topic, _ = asked(prompt)
    stated, texts = list(statements(base, topic)), sentences_of(base)
    places = [i for i, (about, *_) in enumerate(stated) if about == topic]
    if not places or len(stated) != len(texts):
        return []
    content: list[Sentence] = [(*statement, text) for statement, text in zip(stated, texts, strict=True)]
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


def _with(sentence: Sentence, value: str) -> Sentence:
    about, aspect, _, text = sentence
    return about, aspect, value, text


def _written(contents: Sequence[Sequence[Sentence]]) -> list[str]:
    """The texts of contents, in which "it" stands for an animal only where that was named last."""
    return [" ".join(_sentences(content)) for content in contents]


def _sentences(content: Sequence[Sentence]) -> list[str]:
    texts, subject = [], ""
    for about, aspect, value, text in content:
        pronoun = about == subject and text.startswith("It ")
        texts.append(state(about, aspect, value, pronoun=pronoun) if about else text)
        subject = about or subject
    return texts
