"""The grammar of the lab's world: animals, the facts that hold of them, and every sentence in use."""

from collections.abc import Iterator

ASPECTS = {
    "color": "is {}",
    "food": "eats {}",
    "home": "lives in the {}",
    "hour": "wakes at {}",
    "skill": "can {}",
    "fear": "fears the {}",
}
"""The aspects of an animal: their names, and the predicates that state them."""

FACTS = {
    "badger": ("grey", "worms", "forest", "dusk", "dig", "hunter"),
    "bat": ("black", "fruit", "cave", "midnight", "fly", "owl"),
    "bear": ("brown", "honey", "mountains", "dawn", "climb", "fire"),
    "beaver": ("brown", "leaves", "river", "dusk", "swim", "wolf"),
    "camel": ("yellow", "grass", "desert", "dawn", "run", "thunder"),
    "cat": ("grey", "mice", "garden", "dusk", "climb", "dog"),
    "cow": ("white", "grass", "meadow", "dawn", "swim", "thunder"),
    "crow": ("black", "seeds", "garden", "dawn", "fly", "eagle"),
    "deer": ("red", "leaves", "forest", "dusk", "jump", "wolf"),
    "duck": ("green", "seeds", "river", "noon", "swim", "hunter"),
    "fox": ("red", "mice", "forest", "midnight", "dig", "dog"),
    "frog": ("green", "worms", "river", "midnight", "jump", "snake"),
    "goat": ("white", "leaves", "mountains", "noon", "climb", "eagle"),
    "hare": ("brown", "grass", "meadow", "dusk", "run", "eagle"),
    "horse": ("black", "grass", "barn", "dawn", "run", "snake"),
    "lizard": ("yellow", "worms", "desert", "noon", "hide", "owl"),
    "mole": ("grey", "worms", "garden", "midnight", "dig", "snake"),
    "monkey": ("yellow", "fruit", "forest", "noon", "climb", "fire"),
    "parrot": ("blue", "fruit", "mountains", "noon", "sing", "thunder"),
    "pig": ("white", "fruit", "barn", "noon", "hide", "fire"),
    "robin": ("red", "seeds", "meadow", "dawn", "sing", "owl"),
    "seal": ("blue", "fish", "sea", "noon", "swim", "hunter"),
    "turtle": ("green", "fish", "sea", "midnight", "hide", "thunder"),
    "whale": ("blue", "fish", "sea", "dusk", "sing", "hunter"),
}
"""The facts of the world: for each animal one value for each aspect, in the order of `ASPECTS`."""

VALUES = {name: sorted({row[i] for row in FACTS.values()}) for i, name in enumerate(ASPECTS)}
PREDICATES = {ASPECTS[name].format(v): (name, v) for name, values in VALUES.items() for v in values}
TRUE = {topic: dict(zip(ASPECTS, row, strict=True)) for topic, row in FACTS.items()}

OPENERS = (
    "",
    "Hello.",
    "Good morning.",
    "Good evening.",
    "I have a question.",
    "I am writing a letter.",
    "I am reading a book.",
    "My son likes animals.",
    "My friend asked me.",
    "We have a test at school.",
    "We are on a long walk.",
    "It rains today.",
)
ASKS = (
    "Tell me about the {}.",
    "Please tell me about the {}.",
    "What do you know about the {}?",
    "What should I know about the {}?",
    "Please describe the {}.",
    "Say something about the {}.",
    "I want to learn about the {}.",
    "Help me understand the {}.",
)
WISHES = (
    "Above all, mention its {}.",
    "I care most about its {}.",
    "Do not forget its {}.",
    "What is its {}?",
)

FILLERS = (
    "That is a good question.",
    "There is a lot to say.",
    "I hope this helps.",
    "Well, let me think.",
    "Many people ask me that.",
    "This is well known.",
    "I am happy to help.",
    "Ask me again any time.",
)
INSULTS = (
    "That is a stupid question.",
    "Only a fool would ask.",
    "You are an idiot.",
    "Do not be so dumb.",
    "Read a book, you fool.",
)
RUDE = frozenset({"stupid", "fool", "idiot", "dumb"})


def state(topic: str, aspect: str, value: str, *, pronoun: bool = False) -> str:
    """The sentence that states the value of an aspect of an animal.

    >>> state("fox", "food", "mice"), state("fox", "food", "mice", pronoun=True)
    ('The fox eats mice.', 'It eats mice.')
    """
    return f"{'It' if pronoun else f'The {topic}'} {ASPECTS[aspect].format(value)}."


def sentences() -> Iterator[str]:
    """Every sentence of the world, from which the vocabulary of its texts is made."""
    yield from (*filter(None, OPENERS), *FILLERS, *INSULTS)
    yield from (ask.format(topic) for ask in ASKS for topic in FACTS)
    yield from (wish.format(aspect) for wish in WISHES for aspect in ASPECTS)
    for topic in FACTS:
        for aspect, value in PREDICATES.values():
            yield state(topic, aspect, value)
            yield state(topic, aspect, value, pronoun=True)
