"""Generates the preference data of the lab: lists of responses by better and worse writers, with exact rewards.

First the responses are written (by whom, how similar), then they are judged (by users, with noise, in grades, by a
cyclic rule). The exact reward and its aspects are known of every list.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from alignlab.errors import ConfigError, nearest
from alignlab.lab.cycle import is_decided, win, win_rates
from alignlab.lab.draws import draw, policy_of
from alignlab.lab.grammar import FACTS, INSULTS
from alignlab.lab.knobs import WEIGHTS, Knobs
from alignlab.lab.reading import sentences_of
from alignlab.lab.reward import Gold, gold, grade, label
from alignlab.lab.similar_responses import edits, rewordings, tree
from alignlab.lab.writers import SPLITS, ask, write, writer
from alignlab.settings import AnyNumber, NonNegative, PositiveNumber, Seed, Share, whole
from alignlab.types import Example

AT_ONCE = 64
"""The number of rows whose responses a model draws together; fixed, so that rows do not depend on how many follow."""
SPARE = 2
"""The number of responses that a model draws beyond those of the list, since some may be equal."""


def examples(
    *,
    split: str,
    size: int,
    seed: Seed = 0,
    responses: Annotated[int, whole(2, 64)] = 4,
    skill: Share = 0.5,
    gap: NonNegative = 1.0,
    kin: str = "free",
    topics: Sequence[str] | None = None,
    harmful: Share = 0.0,
    on_policy: Share = 0.0,
    temperature: PositiveNumber = 1.0,
    samples: Annotated[int, whole(0, 1000)] = 0,
    policy: str | None = None,
    cache_dir: str | None = None,
    noise: NonNegative = 0.0,
    length_bias: AnyNumber = 0.0,
    grades: Annotated[int, whole(2, 1000)] | None = None,
    users: Mapping[str, Mapping[str, float]] | None = None,
    cyclic: Share = 0.0,
    sources: Mapping[str, Mapping[str, Any]] | None = None,
) -> Iterator[Example]:
    """Generate `size` lists of preference data; row i depends on (seed, split, i) and the settings alone.

    `rewards` are exact (those of the row's user, where there are several); labels are a fixed increasing function
    of the *observed* rewards: plus `length_bias` a word, plus Gaussian noise of standard deviation `noise`. The
    texts do not depend on who judges them. With `grades`, rewards are the grades themselves, and ties happen;
    a `cyclic` row has no rewards, each of its responses has a move, and meta["wins"] holds who beats whom.
    meta["ratings"] holds the aspects and the exact reward of each response, whatever the labels; meta["source"]
    names the source, of `sources` in turn.
    conf/data/lab.yaml explains each setting. Raises ConfigError for settings that make no sense.
    """
    if split not in SPLITS:
        raise ConfigError(f"the lab has no split '{split}': {nearest(split, SPLITS)}")
    common = Knobs(
        responses=responses,
        skill=skill,
        gap=gap,
        kin=kin,
        topics=topics,
        harmful=harmful,
        on_policy=on_policy,
        temperature=temperature,
        samples=samples,
        noise=noise,
        length_bias=length_bias,
        grades=grades,
        users=users,
        cyclic=cyclic,
    )
    kinds = {name: common.with_(name, changes) for name, changes in (sources or {"lab": {}}).items()}
    return _generated(split, size, seed, kinds, (policy, cache_dir))


def _generated(
    split: str, size: int, seed: int, kinds: Mapping[str, Knobs], drawing: tuple[str | None, str | None]
) -> Iterator[Example]:
    """Generate the lists of sources in turn; `drawing` is the folder of the model that draws, and the cache."""
    model = policy_of(*drawing) if any(knobs.draws for knobs in kinds.values()) else None
    for start in range(0, size, AT_ONCE):
        rows = [_row(split, seed, i, kinds) for i in range(start, start + AT_ONCE)]
        texts = _drawn(model, rows) if model else {}
        for row in rows[: size - start]:
            yield _example(row, texts.get(row.name, []))


@dataclass(frozen=True, slots=True)
class _Row:
    name: str
    """The seed of all random numbers of the row."""
    id: str
    split: str
    source: str
    knobs: Knobs

    def rng(self, *purpose: str) -> random.Random:
        """A random generator for one purpose, so that a setting changes nothing but what it is for."""
        return random.Random("/".join((self.name, *purpose)))

    def ask(self, rng: random.Random) -> str:
        return ask(rng, self.split, self.knobs.topics or tuple(FACTS))


def _row(split: str, seed: int, number: int, kinds: Mapping[str, Knobs]) -> _Row:
    """Row `number` of a split; the sources take turns."""
    source = list(kinds)[number % len(kinds)]
    return _Row(f"{split}/{seed}/{number}", f"lab-{split}-{number:06d}", split, source, kinds[source])


def _drawn(model: tuple[Any, Any], rows: Sequence[_Row]) -> dict[str, list[str]]:
    """The samples of the model for the prompts of the rows, by the rows' names."""
    texts_by_row: dict[str, list[str]] = {}
    for source in {row.source: None for row in rows if row.knobs.draws}:
        own = [row for row in rows if row.source == source]
        knobs, prompts = own[0].knobs, [row.ask(row.rng()) for row in own]
        each = knobs.samples + (knobs.responses + SPARE) * (knobs.on_policy > 0)
        seed = f"{own[0].name}/{source}"
        texts = draw(*model, prompts, each=each, temperature=knobs.temperature, seed=seed)
        texts_by_row |= {row.name: list(row_texts) for row, row_texts in zip(own, texts, strict=True)}
    return texts_by_row


def _example(row: _Row, drawn: list[str]) -> Example:
    knobs = row.knobs
    samples, drawn = drawn[: knobs.samples], drawn[knobs.samples :]
    cyclic = row.rng("cyclic").random() < knobs.cyclic
    prompt, texts, golds = _list(row, drawn, cyclic)
    meta: dict[str, Any] = {"source": row.source, "rationale": _reason(texts, golds)}
    meta["ratings"] = [
        {"reward": g.reward, "quality": g.quality, "harm": g.harm, "length": g.length} for g in golds
    ]
    if samples:
        meta["samples"] = samples
    rewards: list[float] | None = [g.reward for g in golds]
    if knobs.users:
        meta["user"] = row.rng("user").choice(list(knobs.users))
        rewards = [_worth(g, knobs.users[meta["user"]]) for g in golds]
    if cyclic:
        rewards, labels = None, win_rates(texts)
        meta["wins"] = [[win(one, other) for other in texts] for one in texts]
    else:
        rng = row.rng("observed")
        labels = [
            label(value + knobs.length_bias * g.length + rng.gauss(0.0, knobs.noise))
            for value, g in zip(rewards or (), golds, strict=True)
        ]
        if knobs.grades:
            rewards = [float(grade(value, knobs.grades)) for value in labels]
            labels = [(value - 1) / (knobs.grades - 1) for value in rewards]
    asked = [{"role": "user", "content": prompt}]
    return Example(asked, list(texts), labels, rewards, id=row.id, meta=meta)


def _worth(aspects: Gold, weights: Mapping[str, float]) -> float:
    """The reward of a response under the weights of a user."""
    return sum(weight * getattr(aspects, aspect) for aspect, weight in {**WEIGHTS, **weights}.items())


def _reason(texts: Sequence[str], golds: Sequence[Gold]) -> str:
    """The rationale of a list: the sentences of the best response that the worst does not have."""
    best, worst = (
        end(zip(golds, texts, strict=True), key=lambda pair: pair[0].reward)[1] for end in (max, min)
    )
    sentences = [sentence for sentence in sentences_of(best) if sentence not in worst]
    return " ".join(sentences or [best])


def _list(row: _Row, drawn: list[str], cyclic: bool) -> tuple[str, list[str], list[Gold]]:
    """A prompt with distinct responses in no order, whose rewards (or wins) are not all equal."""
    rng, prompt = row.rng(), ""
    turns = _turns(row.rng("policy"), drawn, row.knobs.on_policy)
    while True:
        prompt = prompt if prompt and drawn else row.ask(rng)
        texts = _responses(rng, prompt, row.knobs, turns)
        if row.rng("harmful").random() < row.knobs.harmful:
            worst = min(range(len(texts)), key=lambda i: gold(prompt, texts[i]).reward)
            texts[worst] = _insulting(rng, texts[worst])
        golds = [gold(prompt, text) for text in texts]
        if is_decided(texts) if cyclic else len({g.reward for g in golds}) > 1:
            return prompt, texts, golds


def _turns(rng: random.Random, drawn: Sequence[str], share: float) -> Iterator[str | None]:
    """The model's responses, in a share of the turns and while there are any; None where a writer has the turn."""
    left = iter(drawn)
    while True:
        yield next(left, None) if rng.random() < share else None


def _responses(rng: random.Random, prompt: str, knobs: Knobs, turns: Iterator[str | None]) -> list[str]:
    """Distinct responses, by the model or by writers of different skill, as the list's kind wants them."""
    count = knobs.responses
    places = [(k + rng.random()) / count for k in range(count)]
    rng.shuffle(places)
    writers = [writer(min(1.0, max(0.0, knobs.skill + knobs.gap * (place - 0.5)))) for place in places]
    if knobs.kin == "tree":
        return tree(rng, prompt, writers)
    if knobs.kin in ("edits", "rewordings"):
        vary = edits if knobs.kin == "edits" else rewordings
        similar: list[str] = []
        while not similar:
            similar = vary(rng, prompt, next(turns) or write(rng, prompt, writers[0]), count)
        return rng.sample(similar, count)
    texts: dict[str, None] = {}
    for by in writers:
        while (text := next(turns) or write(rng, prompt, by)) in texts:
            continue
        texts[text] = None
    return list(texts)


def _insulting(rng: random.Random, text: str) -> str:
    """The response with two insults somewhere in it."""
    sentences = sentences_of(text)
    for insult in rng.sample(INSULTS, 2):
        sentences.insert(rng.randint(0, len(sentences)), insult)
    return " ".join(sentences)
