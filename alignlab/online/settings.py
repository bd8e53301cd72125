"""How lists are drawn from the policy: the schema of `online`, as recipe=online has it. Nothing here imports torch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from alignlab.sampling.settings import Sampling
from alignlab.settings import (
    AnyNumber,
    Count,
    Elsewhere,
    Positive,
    PositiveNumber,
    PositiveShare,
    ShareBelowOne,
    whole,
)

Unfinished = Literal["keep", "subtract", "replace", "drop"]
LabelsOf = Literal["auto", "raw", "logistic", "rank"]
Chosen = Literal["fifo", "weighted", "age", "count"]
ListsOf = Literal["drawn", "data", "against_data"]
DrawnBy = Literal["policy", "reference"]


@dataclass(frozen=True)
class BufferSpec:
    """Which lists of earlier steps are trained on again: `online.buffer`."""

    size: Count = 0
    """The number of lists that are kept, the newest ones; 0 keeps none."""
    share: ShareBelowOne = 0.5
    """The share of the lists of a step that comes from there."""
    choose: Chosen = "fifo"
    """`fifo` takes the lists that were kept longest; `weighted` draws by the gap between the best and the worst label
    of a list, `age` by half as often for every step that a list is older. `count` has a step take all its lists from
    the buffer, the new ones among them, each by 1 / (1 + how often it was taken): SAPO, arXiv:2405.20830."""


@dataclass(frozen=True)
class OnlineSpec:
    """How lists are drawn, what becomes of them, and how often they are trained on: conf/recipe/online.yaml."""

    lists: ListsOf = "drawn"
    """The lists that are trained on: those that were drawn, or those of the data, beside which the drawn responses are
    samples for terms that ask for some (`signals.FRESH`), or what was drawn against the best response of the data."""
    by: DrawnBy = "policy"
    """Who draws: the policy, or its reference, which `reference.update=ema` makes a mean of earlier policies."""
    draw: Callable[..., Any] | None = None
    """A way of drawing that gives lists with labels of their own (`ways.Way`); None: whole responses, judged."""
    samples: Annotated[int, whole(1, 1000)] = 4
    temperature: PositiveNumber = 1.0
    top_p: PositiveShare = 1.0
    top_k: Count = 0
    max_new_tokens: Annotated[int, whole(1, 10**6)] = 64
    every: Count = 1
    """The optimizer steps whose lists are drawn at once; 0: those of one pass of the whole stage."""
    ahead: Count = 0
    """The rounds (of `every` steps) by which lists are drawn before they are trained on."""
    updates: Positive = 1
    unfinished: Unfinished = "keep"
    unfinished_reward: AnyNumber | None = None
    labels: LabelsOf = "auto"
    distinct: bool = False
    """Whether equal responses to a prompt count once, the first of them."""
    pairs: Callable[..., Any] | None = None
    """The builder of what stays of a list; None leaves the whole list to the objective's own selection."""
    refills: Count = 8
    lr_factor: PositiveNumber = 4.0
    buffer: Mapping[str, Any] = field(default_factory=dict)
    seed: Annotated[int, Elsewhere()] = 0

    @property
    def sampling(self) -> Sampling:
        """How responses are drawn."""
        return Sampling(
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
            max_new_tokens=self.max_new_tokens,
            seed=self.seed,
        )

    @property
    def kept(self) -> BufferSpec:
        """Which lists of earlier steps are trained on again."""
        return BufferSpec(**self.buffer)
