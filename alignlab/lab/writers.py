"""Who writes in the lab's world: the prompts, and responses by better and worse writers."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from alignlab.lab.grammar import ASKS, ASPECTS, FACTS, FILLERS, INSULTS, OPENERS, TRUE, VALUES, WISHES, state
from alignlab.lab.reading import asked

SPLITS = {"train": range(0, 8), "validation": range(8, 9), "test": range(9, 10)}
"""The tenths of all prompts that a split owns; a prompt's tenth is a hash of its text."""


@dataclass(frozen=True, slots=True)
class Writer:
    """How someone writes, in probabilities: the first two of a sentence, the others of a fact."""

    rude: float
    filler: float
    truth: float
    focus: float
    """To speak of the animal asked for."""
    fresh: float
    """Not to say again what was said."""
    heed: float
    """To begin with the aspect wished for."""


def writer(skill: float) -> Writer:
    """The writer of a skill in [0, 1]; the middling ones are those who wrote the corpus."""
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
    """A response in the making, sentence by sentence."""

    prompt: str
    text: list[str] = field(default_factory=list)
    stated: list[str] = field(default_factory=list)
    """Aspects, in the order of their statements."""
    subject: str = ""
    """The animal named last."""

    def branch(self) -> "Draft":
        """Another draft that begins as this one."""
        return Draft(self.prompt, [*self.text], [*self.stated], self.subject)


def go_on(rng: random.Random, draft: Draft, by: Writer) -> None:
    """One more sentence."""
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
    """One response: two to five sentences, a number that does not depend on the writer."""
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
    """A prompt that belongs to the split, about one of the topics; a third wish for nothing in particular."""
    while True:
        question = rng.choice(ASKS).format(rng.choice(list(topics)))
        wish = rng.choice(WISHES).format(rng.choice(list(ASPECTS))) if rng.random() < 2 / 3 else ""
        text = " ".join(filter(None, (rng.choice(OPENERS), question, wish)))
        if random.Random(text).randrange(10) in SPLITS[split]:
            return text


def corpus(n: int, seed: int = 0, skill: Sequence[float] = (0.2, 0.8)) -> Iterator[tuple[str, str]]:
    """`n` training prompts, each with the response of a writer whose skill is drawn from a range."""
    for index in range(n):
        rng = random.Random(f"corpus/{seed}/{index}")
        prompt = ask(rng, "train")
        yield prompt, write(rng, prompt, writer(rng.uniform(*skill)))
