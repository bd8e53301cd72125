"""Pairs out of conversations in which a person's next turn shows that a reply displeased them: arXiv:2408.15549."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

from alignlab.console import tracked
from alignlab.data.reading.rows import Drop, Dropped
from alignlab.data.steps import Makes, Reads
from alignlab.data.tables.lists import PER_RESPONSE
from alignlab.data.transforms.instructions import FORMS, with_instruction
from alignlab.data.transforms.words import SENTENCE
from alignlab.errors import ConfigError, one_of
from alignlab.judges.satisfaction import AskedModel, by_rules
from alignlab.sampling.continued_texts import Begun, Writer
from alignlab.sampling.settings import Sampling
from alignlab.settings import Positive, PositiveNumber, Seed
from alignlab.types import Example, Message

AT_ONCE = 256
"""The number of rows that are worked on together."""
KEY = "pipeline.wildfeedback"
TEMPLATE = (
    "Another answer to what is asked here made the person say: {feedback}\nAnswer so that they are content."
)


@dataclass(frozen=True)
class Turn:
    """A reply of a conversation with the turn of the person behind it."""

    row: int
    place: int
    """The place of the reply among the turns of the prompt."""
    reply: Message
    follow_up: Message


def wildfeedback(
    examples: Sequence[Example],
    *,
    model: str | None = None,
    judge: str | None = None,
    template: str = TEMPLATE,
    form: str = "auto",
    temperature: PositiveNumber = 0.7,
    max_new_tokens: Positive = 256,
    seed: Seed = 0,
) -> Annotated[Iterator[Example | Dropped], Makes("pairs"), Reads(("model", "judge"))]:
    """Make a pair of each reply within a prompt's conversation that displeased the person, as their next turn shows.

    That turn is read by rules, or by the language model in the folder `judge`. The rejected response is the reply; the
    chosen one is written anew by the model in the folder `model`, which `template` tells the feedback, in a system or
    user turn (`form`, as for reward_augmented). The prompt of the pair is the conversation before the reply, without
    the feedback. meta["feedback"] has what was said, meta["complaint"] its kind, and meta["checklist"] the sentences of
    it, by which `judge=llm` can judge other answers. The responses of the row itself are left out.

    Drops conversations in which nobody was displeased, or where nothing else was written. Raises ConfigError for a
    folder without a language model, or a template without {feedback}.
    """
    one_of(f"{KEY}.form", form, FORMS)
    if "{feedback}" not in template:
        raise ConfigError(f"{KEY}.template: it never says {{feedback}}")
    writer = Writer(model, f"{KEY}.model")
    ask = None if judge is None else AskedModel(judge, f"{KEY}.judge")
    how = Sampling(temperature=temperature, max_new_tokens=max_new_tokens, seed=seed)
    with tracked("replies that displeased, written anew", len(examples)) as advance:
        for start in range(0, len(examples), AT_ONCE):
            some = [examples[i] for i in range(start, min(start + AT_ONCE, len(examples)))]
            turns = [turn for row, example in enumerate(some) for turn in _turns(row, example.prompt)]
            if ask is None:
                said = [by_rules(str(turn.follow_up["content"])) for turn in turns]
            else:
                said = ask([(turn.reply, turn.follow_up) for turn in turns])
            complaints = [
                (turn, kind)
                for turn, kind in zip(turns, said, strict=True)
                if kind not in ("pleased", "neither")
            ]
            yield from _rows(some, complaints, writer, how, template, form)
            advance(len(some))


def _turns(row: int, prompt: Sequence[Message]) -> Iterator[Turn]:
    """The replies of a conversation behind which the person wrote something."""
    for place in range(1, len(prompt) - 1):
        reply, follow_up = prompt[place], prompt[place + 1]
        if (reply["role"], follow_up["role"]) == ("assistant", "user") and reply["content"].strip():
            yield Turn(row, place, reply, follow_up)


def _rows(
    examples: Sequence[Example],
    complaints: Sequence[tuple[Turn, str]],
    writer: Writer,
    how: Sampling,
    template: str,
    form: str,
) -> Iterator[Example | Dropped]:
    """The pairs of rows in their order, and the rows that give none."""
    begun, reasons = [], dict[int, str]()
    asked = list[tuple[Turn, str]]()
    for turn, kind in complaints:
        example = examples[turn.row]
        told = template.format(feedback=str(turn.follow_up["content"]).strip())
        try:
            prompt = with_instruction(example.prompt[: turn.place], form, told)
        except Drop as drop:
            reasons[turn.row] = str(drop)
            continue
        begun.append(Begun(f"{example.id}/{turn.place}", prompt))
        asked.append((turn, kind))
    pairs: dict[int, list[Example]] = {}
    for (turn, kind), text in zip(asked, writer(begun, how), strict=True):
        if text is None:
            reasons[turn.row] = "the conversation leaves no room in the model's context"
        elif text.strip() in ("", str(turn.reply["content"]).strip()):
            reasons[turn.row] = "what the model writes anew is the reply that displeased, or nothing"
        else:
            pairs.setdefault(turn.row, []).append(_pair(examples[turn.row], turn, kind, text))
    for row, example in enumerate(examples):
        if row in pairs:
            yield from pairs[row]
        else:
            yield Dropped(example.id, reasons.get(row, "no turn of the person shows that a reply displeased"))


def _pair(example: Example, turn: Turn, kind: str, text: str) -> Example:
    feedback = str(turn.follow_up["content"]).strip()
    checklist = [sentence for sentence in SENTENCE.findall(feedback) if sentence]
    meta = {name: value for name, value in example.meta.items() if name not in (*PER_RESPONSE, "wins")}
    meta |= {"feedback": feedback, "complaint": kind, "checklist": checklist}
    return Example(
        prompt=example.prompt[: turn.place],
        responses=[text, str(turn.reply["content"])],
        labels=[1.0, 0.0],
        weight=example.weight,
        id=f"{example.id}/{turn.place}",
        meta=meta,
    )
