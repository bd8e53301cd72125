"""What is asked of a judge, and what it says; a judge that cannot say gives the reason in place of a verdict."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from alignlab.types import Message


@dataclass(frozen=True)
class Asked:
    """A prompt with its responses, as text: a judge tokenizes for itself, as its model may have tokens of its own."""

    id: str
    """The id of the row or prompt; what a judge places or draws at random is keyed by it."""
    prompt: Sequence[Message]
    """The turns of the prompt."""
    responses: tuple[str, ...]
    """The texts of the K responses."""
    finished: tuple[bool, ...] = ()
    """Whether each response came to its end; empty: all did."""
    meta: Mapping[str, Any] = field(default_factory=dict)
    """What the row knows beside: a domain, tests, criteria, ... by name."""
    prompts: tuple[Sequence[Message], ...] = ()
    """The prompt of each response where they have one of their own (joint preferences); empty: all answer `prompt`."""

    def prompt_of(self, place: int) -> Sequence[Message]:
        """Return the prompt of one response."""
        return self.prompts[place] if self.prompts else self.prompt


@dataclass(frozen=True)
class Judged:
    """What a judge says of K responses: rewards, or preferences, or both; `unsaid` where it cannot say.

    Each response, and each pair, may be without a verdict of its own (None); `unsaid` stands where all are.
    """

    rewards: tuple[float | None, ...] | None = None
    """[K], larger is better, in units of the judge."""
    preferences: tuple[tuple[float | None, ...], ...] | None = None
    """[K, K], the probability in [0, 1] that the first response is better than the second; 1/2 on the diagonal."""
    aspects: Mapping[str, tuple[float | None, ...]] = field(default_factory=dict)
    """Parts of the verdict, by name, each [K]."""
    reasons: tuple[str, ...] = ()
    """Why, in the judge's words: a text a response; empty where it gives none."""
    unsaid: str | None = None
    """Why there is no verdict: 'timed out', 'unparsed', ...; such lists are counted by this text."""


@runtime_checkable
class Judge(Protocol):
    """Judges lists; `identity` names it with all that its verdicts depend on, so that they may be kept."""

    @property
    def identity(self) -> str:
        """The judge's name, its model's hash, its prompts and settings; other verdicts mean another identity."""

    def __call__(self, asked: Sequence[Asked]) -> list[Judged]:
        """Judge each list, in order; raises AlignlabError only for what would fail for every list."""


@runtime_checkable
class Joint(Protocol):
    """A judge that compares responses to different prompts too; others are never asked about `Asked.prompts`."""

    @property
    def joint(self) -> bool:
        """Whether it does, with its settings."""


@runtime_checkable
class Bound(Protocol):
    """A judge that may judge by the models of the run itself, where its settings name no others."""

    @property
    def wants(self) -> frozenset[str]:
        """Which of the run's models it reads: 'policy', and 'reference' or, in its place, 'initial', the model that the
        run began with."""

    def bind(self, policy: Any, reference: Any) -> None:
        """Take the run's policy and its reference (or initial model), a `LoadedPolicy`, or None where not wanted.

        A loop calls it before it asks; weights that training moved since count at the next call, and in `identity`.
        """


@runtime_checkable
class Waits(Protocol):
    """A judge that may do nothing but wait: for a server, for other processes, for a function of the user's."""

    @property
    def waits(self) -> bool:
        """Whether it does; it is then asked in a thread, while responses are drawn or the policy trains."""


@runtime_checkable
class Learner(Protocol):
    """A judge that learns as the policy trains. A call says what it has come to think, and teaches it nothing."""

    @property
    def identity(self) -> str:
        """The judge's name, with how often it has learned."""

    def __call__(self, asked: Sequence[Asked]) -> list[Judged]:
        """Judge each list, in order."""

    def learn(
        self, asked: Sequence[Asked], told: Sequence[Sequence[float | None] | None] | None = None
    ) -> Sequence[tuple[float | None, ...] | None]:
        """Learn from lists of a draw before it judges them; returns a score of each response by whom it learns from.

        A list that nobody was asked about has None. A run that goes on gives what was returned before as `told`; the
        judge then learns the same to the last bit, and asks nobody.
        """

    def state_dict(self) -> dict[str, Any]:
        """Return what it has learned, as tensors and plain values, for the checkpoint."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from such a state."""
