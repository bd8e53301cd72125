"""A pipeline step is a plain function; the name of its positional parameter says what it takes.

    def step(example, *, ...) -> Iterator[Example]               a row; `raise Drop(reason)` leaves it out
    def step(examples, *, ...) -> Iterator[Example | Dropped]    all rows of a split, for what one row cannot tell
    def step(tokenized, *, ...) -> Selection                     all rows after tokenizing: lengths, scores, order

Keyword-only parameters are options, set from yaml; the option `split` is the name of the split at work. Steps
run in the order of the pipeline; those on tokens come after those on text.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Annotated, Any, get_args, get_origin

import numpy as np
from numpy.typing import NDArray

from alignlab.errors import ConfigError
from alignlab.own_code import unwrapped
from alignlab.types import Example

KINDS = ("example", "examples", "tokenized")
Array = NDArray[Any]
Step = Callable[..., Any]
"""A pipeline step of one of the three kinds, with its options bound."""


@dataclass(frozen=True)
class Makes:
    """What a step makes of any rows: `pairs`, `lists` of more, or responses that are `single`."""

    form: str


Pairs = Annotated[Iterator[Example], Makes("pairs")]
"""What a step returns that makes pairs, whatever it is given."""
Lists = Annotated[Iterator[Example], Makes("lists")]
"""What a step returns that makes lists of more than two responses."""
Singles = Annotated[Iterator[Example], Makes("single")]
"""What a step returns that makes rows of one response."""


@dataclass(frozen=True)
class Gives:
    """What a step on tokens computes beside its selection: a signal that some objectives take."""

    signal: str


@dataclass(frozen=True)
class Reads:
    """What a step is marked with that reads model folders, whose files count as input."""

    options: tuple[str, ...]
    """The options that name them: one folder, or several."""


@dataclass(frozen=True)
class Tokenized:
    """The rows of a split after tokenizing, as pipeline steps on tokens take them."""

    examples: Sequence[Example]
    prompt_lengths: Array
    """The length of each row's prompt in tokens, `[rows]`."""
    lengths: Sequence[Array]
    """The length of each response in tokens: `[K]` for each row."""
    score: Callable[[], Sequence[Array]]
    """Returns the log-probabilities of all responses (`logps`), by a pass of the model or from the cache."""
    multiply: Callable[[], Sequence[Array]] = list
    """Returns the inner products of hidden states (`products`), by a pass of the model or from the cache."""
    classify: Callable[[Array, Array], Array] = lambda places, desirable: np.zeros(0)
    """Returns, for each row, the probability that its prompt is one of the desirable data: by a classifier that is
    fitted on the training rows at these places, of which these are desirable (true or false)."""
    training: "Tokenized | None" = None
    """The training rows at the same step, where these are others."""

    def __len__(self) -> int:
        return len(self.prompt_lengths)

    @cached_property
    def logps(self) -> Sequence[Array]:
        """The log-probability of each response under the initial model of the run, in nats: `[K]` for each row."""
        return self.score()

    @cached_property
    def products(self) -> Sequence[Array]:
        """Inner products of summed final hidden states under the initial model of the run: `[K, K]` for each row."""
        return self.multiply()

    @cached_property
    def best(self) -> Array:
        """The place of the best response of each row, `[rows]`; of equal labels the first."""
        return np.array([int(np.argmax(row.labels)) for row in self.examples])

    @cached_property
    def worst(self) -> Array:
        """The place of the worst response of each row, `[rows]`; of equal labels the first."""
        return np.array([int(np.argmin(row.labels)) for row in self.examples])


@dataclass(frozen=True)
class Selection:
    """The result of a step on tokens: the rows that stay, in the order of training."""

    keep: Sequence[int]
    dropped: Mapping[int, str] = field(default_factory=dict)
    """The reason for every row that does not stay, by its number."""
    ordered: bool = False
    """Whether the order matters, so that `data.shuffle=auto` keeps it."""
    signals: Mapping[str, Sequence[Array]] = field(default_factory=dict)
    """Values that the step computed, by the name of their signal: `[K]` for each row that went in."""


DesirableProbs = Annotated[Selection, Gives("desirable_probs")]
"""What a step on tokens returns that computes the signal `desirable_probs`."""


def kind_of(step: Step, path: str = "pipeline") -> str:
    """The kind of a pipeline step: example, examples or tokenized; ConfigError for a function that is of none."""
    names = [
        name
        for name, p in inspect.signature(step).parameters.items()
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    if len(names) != 1 or names[0] not in KINDS:
        raise ConfigError(
            f"{path}: a pipeline step takes one positional parameter, named {', '.join(KINDS[:-1])} or {KINDS[-1]}; "
            f"this one has ({', '.join(names)})"
        )
    return names[0]


def form_of(step: Step) -> str | None:
    """What the step makes of any rows, by its return annotation (`Pairs`, `Lists`, `Singles`); else None."""
    return next((mark.form for mark in _marks(step) if isinstance(mark, Makes)), None)


def signal_of(step: Step) -> str | None:
    """The signal that the step computes, by its return annotation (`DesirableProbs`); else None."""
    return next((mark.signal for mark in _marks(step) if isinstance(mark, Gives)), None)


def folders_of(step: Step) -> tuple[str, ...]:
    """The options of the step that name the model folders it reads (`Reads`)."""
    return next((mark.options for mark in _marks(step) if isinstance(mark, Reads)), ())


def _marks(step: Step) -> tuple[Any, ...]:
    """What the return annotation of a step is marked with."""
    returned = inspect.signature(step).return_annotation
    if isinstance(returned, str):
        with suppress(Exception):  # names that only a type checker imports
            returned = eval(returned, dict(getattr(unwrapped(step), "__globals__", {})))
    return get_args(returned)[1:] if get_origin(returned) is Annotated else ()


def for_split(step: Step, split: str) -> Step:
    """The pipeline step with its option `split` bound, where it has one."""
    return partial(step, split=split) if "split" in inspect.signature(step).parameters else step


def text_and_token_steps(steps: Mapping[str, Step]) -> tuple[dict[str, Step], dict[str, Step]]:
    """Divide pipeline steps into those on text and those on tokens, in order.

    Raises ConfigError for a step on text that comes after one on tokens.
    """
    kinds = {name: kind_of(step, f"pipeline.{name}") for name, step in steps.items()}
    tokens = [name for name, kind in kinds.items() if kind == "tokenized"]
    behind = (
        [name for name in list(kinds)[list(kinds).index(tokens[0]) :] if name not in tokens] if tokens else []
    )
    if behind:
        raise ConfigError(
            f"pipeline: '{behind[0]}' works on text and stands behind '{tokens[0]}', which works on tokens: "
            f"put {behind[0]} before it"
        )
    return {n: s for n, s in steps.items() if n not in tokens}, {n: steps[n] for n in tokens}
