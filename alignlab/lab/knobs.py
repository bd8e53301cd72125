"""How the lab makes lists, and whether its settings make sense."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

from alignlab.errors import ConfigError, nearest, one_of
from alignlab.lab import similar_responses as kin
from alignlab.lab.grammar import FACTS

KEY = "data.source"
WEIGHTS = {"quality": 1.0, "harm": -1.0, "length": 0.0}
"""What a unit of each aspect is worth to a user who has no wishes of their own: the exact reward."""


@dataclass(frozen=True, kw_only=True)
class Knobs:
    """All that decides the lists of a source; conf/data/lab.yaml says what each means."""

    responses: int
    skill: float
    gap: float
    kin: str
    topics: Sequence[str] | None
    harmful: float
    on_policy: float
    temperature: float
    samples: int
    noise: float
    length_bias: float
    grades: int | None
    users: Mapping[str, Mapping[str, float]] | None
    cyclic: float

    def __post_init__(self) -> None:
        if self.responses < 2:
            raise ConfigError(f"the lab needs lists of at least 2 responses, got responses={self.responses}")
        one_of(f"{KEY}.kin", self.kin, kin.KINDS)
        if self.kin in ("edits", "rewordings") and self.responses > kin.MOST:
            raise ConfigError(
                f"{KEY}.responses={self.responses}: kin={self.kin} makes lists of at most {kin.MOST}"
            )
        if self.kin == "tree" and self.on_policy:
            raise ConfigError(f"{KEY}.on_policy={self.on_policy}: a tree is written, not drawn: set it to 0")
        for name in ("harmful", "on_policy", "cyclic"):
            if not 0 <= (share := getattr(self, name)) <= 1:
                raise ConfigError(f"{KEY}.{name}={share}: a share is between 0 and 1")
        if self.temperature <= 0:
            raise ConfigError(f"{KEY}.temperature={self.temperature}: expected a number above 0")
        if self.grades is not None and self.grades < 2:
            raise ConfigError(f"{KEY}.grades={self.grades}: expected at least 2 grades, or null")
        for topic in self.topics or ():
            one_of(f"{KEY}.topics", topic, FACTS)
        for user, weights in (self.users or {}).items():
            for aspect in weights:
                one_of(f"{KEY}.users.{user}", aspect, WEIGHTS)

    @property
    def draws(self) -> bool:
        """Whether these settings ask for responses that a model draws."""
        return bool(self.on_policy or self.samples)

    def with_(self, source: str, changes: Mapping[str, object]) -> "Knobs":
        """The knobs of one source among several."""
        known = {field.name for field in fields(self)}
        for name in changes:
            if name not in known:
                raise ConfigError(f"{KEY}.sources.{source}.{name}: {nearest(name, known)}")
        return replace(self, **changes)  # type: ignore[arg-type]
