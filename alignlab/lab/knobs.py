"""The settings of the lab, and the checks that they make sense."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cache
from inspect import Parameter

from alignlab.errors import ConfigError, nearest, one_of
from alignlab.lab.grammar import FACTS
from alignlab.lab.similar_responses import KINDS, MOST
from alignlab.settings import typed
from alignlab.signatures import misfit_of, read_signature

KEY = "data.source"
WEIGHTS = {"quality": 1.0, "harm": -1.0, "length": 0.0}
"""The weight of each aspect in the exact reward, which is that of a user without own weights."""


@cache
def _parameters() -> dict[str, Parameter]:
    read = read_signature(f"{__package__}.world.examples")
    assert read is not None
    return read.parameters


@dataclass(frozen=True, kw_only=True)
class Knobs:
    """The settings that decide the lists of a source, checked with ConfigError; conf/data/lab.yaml explains each.

    Their ranges stand in the signature of `world.examples`, which takes them.
    """

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
        for name, parameter in _parameters().items():
            if hasattr(self, name) and (message := misfit_of(getattr(self, name), parameter)):
                raise ConfigError(f"{KEY}.{name}={typed(getattr(self, name))}: {message}")
        one_of(f"{KEY}.kin", self.kin, KINDS)
        if self.kin in ("edits", "rewordings") and self.responses > MOST:
            raise ConfigError(
                f"{KEY}.responses={self.responses}: kin={self.kin} makes lists of at most {MOST}"
            )
        if self.kin == "tree" and self.on_policy:
            raise ConfigError(f"{KEY}.on_policy={self.on_policy}: a tree is written, not drawn: set it to 0")
        for topic in self.topics or ():
            one_of(f"{KEY}.topics", topic, FACTS)
        for user, weights in (self.users or {}).items():
            for aspect in weights:
                one_of(f"{KEY}.users.{user}", aspect, WEIGHTS)

    @property
    def draws(self) -> bool:
        """Whether a model has to draw responses."""
        return bool(self.on_policy or self.samples)

    def with_(self, source: str, changes: Mapping[str, object]) -> "Knobs":
        """These settings with the changes of one source among several; ConfigError for an unknown setting."""
        names = {field.name for field in fields(self)}
        for name in changes:
            if name not in names:
                raise ConfigError(f"{KEY}.sources.{source}.{name}: {nearest(name, names)}")
        return replace(self, **changes)  # type: ignore[arg-type]
