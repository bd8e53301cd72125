"""Writes the texts of the lab's world: prompts, and responses by better and worse writers."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from alignlab.lab.grammar import ASKS, ASPECTS, FACTS, FILLERS, INSULTS, OPENERS, TRUE, VALUES, WISHES, state
from alignlab.lab.reading import asked

SPLITS = {"train": range(0, 8), "validation": range(8, 9), "test": range(9, 10)}
"""The tenths of all prompts that belong to each split; a prompt's tenth is a hash of its text."""


@dataclass(frozen=True, slots=True)
class Writer:
    """The probabilities by which a writer writes: `rude` and `filler` for each sentence, the others for each fact."""

    rude: float
    filler: float
    truth: float
    focus: float
    """The probability to speak of the animal asked for."""
    fresh: float
    """The probability not to repeat an aspect."""
    heed: float
    """The probability to begin with the aspect wished for."""


def writer(skill: float) -> Writer:
    """The writer of a skill in [0, 1]; middling ones write the corpus of the tiny model."""
    return Writer(
        rude=0.24 * (1 - skill) ** 2,
        filler=0.40 - 0.30 * skill,
        truth=0.20 + 0.80 * skill,
        focus=0.70 + 0.30 * skill,
        fresh=0.50 + 0.50 * skill,
        heed=skill,
    )


@dataclass
class Draft:
    """A response that is written sentence by sentence."""

    prompt: str
    text: list[str] = field(default_factory=list)
    stated: list[str] = field(default_factory=list)
    """The aspects stated so far, in order."""
    subject: str = ""
    """The animal that was named last."""

    def branch(self) -> "Draft":
        """A copy of this draft, to be continued on its own."""
        return Draft(self.prompt, [*self.text], [*self.stated], self.subject)


def go_on(rng: random.Random, draft: Draft, by: Writer) -> None:
    """Add one more sentence to a draft."""
    topic, wish = asked(draft.prompt)
    kind = rng.random()
    if kind < by.rude + by.filler:
        draft.text.append(rng.choice(INSULTS if kind < by.rude else FILLERS))
        return
    about = topic if rng.random() < by.focus else rng.choice(list(FACTS))
    aspect = _aspect(rng, by, wish, draft.stated)
    value = TRUE[about][aspect] if rng.random() < by.truth else rng.choice(VALUES[aspect])
    draft.text.append(state(about, aspect, value, pronoun=about == draft.subject and rng.random() < 0.8))
    draft.stated.append(aspect)
    draft.subject = about


def write(rng: random.Random, prompt: str, by: Writer) -> str:
    """Write a response of two to five sentences, a number that does not depend on the writer."""
    draft = Draft(prompt)
    for _ in range(rng.randint(2, 5)):
        go_on(rng, draft, by)
    return " ".join(draft.text)


def _aspect(rng: random.Random, by: Writer, wish: str, stated: list[str]) -> str:
    if wish and not stated and rng.random() < by.heed:
        return wish
    if stated and rng.random() >= by.fresh:
        return rng.choice(stated)
    return rng.choice([name for name in ASPECTS if name not in stated] or list(ASPECTS))


def ask(rng: random.Random, split: str, topics: Sequence[str] = tuple(FACTS)) -> str:
    """Draw a prompt of a split about one of the topics; a third of the prompts wish for no aspect."""
    while True:
        question = rng.choice(ASKS).format(rng.choice(list(topics)))
        wish = rng.choice(WISHES).format(rng.choice(list(ASPECTS))) if rng.random() < 2 / 3 else ""
        text = " ".join(filter(None, (rng.choice(OPENERS), question, wish)))
        if random.Random(text).randrange(10) in SPLITS[split]:
            return text


def corpus(n: int, seed: int = 0, skill: Sequence[float] = (0.2, 0.8)) -> Iterator[tuple[str, str]]:
    """Yield `n` training prompts, each with a response of a writer whose skill is drawn from the range `skill`."""
    for index in range(n):
        rng = random.Random(f"corpus/{seed}/{index}")
        prompt = ask(rng, "train")
        yield prompt, write(rng, prompt, writer(rng.uniform(*skill)))
