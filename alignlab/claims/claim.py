"""A claim as its yaml has it: arms, their search, and the comparisons that decide. `claims/common.yaml` is shared."""

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from alignlab.claims.measures import MEASURES
from alignlab.errors import ConfigError, nearest, one_of

COMMON = "common"
FEWEST_SEEDS = 5
EXPECTATIONS = ("more", "less", "no_less", "equal")
"""What a comparison may expect; `no_less` is by no more than the margin, `equal` within it on both sides."""
Number = float | int
FOLDS = ("slope", "rank_correlation")
"""The ways in which several arms, in their order, make one number a seed."""


@dataclass(frozen=True)
class Common:
    """The overrides and seeds that all claims share. `small` are overrides that make any run take a second."""

    runs: Sequence[str]
    small: Sequence[str]
    seeds: Sequence[int]
    tuning_seeds: Sequence[int]


@dataclass(frozen=True)
class Arm:
    """One side of a claim: its own overrides. `tuned_as` takes the value that another arm's search found."""

    runs: Sequence[str] = ()
    tuned_as: str | None = None


@dataclass(frozen=True)
class Search:
    """The few values of a key that are tried for every arm, on seeds of their own; the largest mean of `by` wins."""

    key: str
    values: Sequence[Number]
    by: str = "gold/reward"


@dataclass(frozen=True)
class Comparison:
    """A metric (or the difference of two, `a - b`) of arms, against other arms or against the number `than`.

    `fold` makes one number of several arms. `margin` is the least effect that would matter, in units of the metric.
    """

    metric: str
    arms: Sequence[str]
    expect: str
    margin: Number
    against: Sequence[str] = ()
    than: Number = 0.0
    fold: str | None = None

    @property
    def title(self) -> str:
        """The comparison in words."""
        ours, theirs = (_ordered(arms) for arms in (self.arms, self.against))
        what = f"{self.fold.replace('_', ' ')} of {self.metric}" if self.fold else self.metric
        other = theirs or (f"{self.than:g}" if self.than else "")
        return f"{what}: {ours}{f' against {other}' if other else ''}"


@dataclass(frozen=True)
class Claim:
    """A sentence of a paper, and what decides here whether it holds; `tried` is told where it does not.

    `models` are those that `<name>` stands for in overrides: settings of `lab.tiny.load`. `curve` draws the metrics
    `<of>/<number>` over the number, whose name is `x`.
    """

    name: str
    number: int
    paper: str
    claim: str
    arms: Mapping[str, Arm]
    comparisons: Sequence[Comparison]
    seconds: Number
    runs: Sequence[str] = ()
    search: Search | None = None
    measures: Sequence[str] = ()
    models: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    curve: Mapping[str, str] | None = None
    tried: Sequence[str] = ()


def read_common(folder: Path) -> Common:
    """Read `common.yaml` of a folder of claims; ConfigError on what it must not hold."""
    file = folder / f"{COMMON}.yaml"
    common = _made(Common, _yaml(file), file.name)
    if len(common.seeds) < FEWEST_SEEDS:
        raise ConfigError(f"{file.name}: seeds={common.seeds}: a verdict takes at least {FEWEST_SEEDS}")
    if both := set(common.seeds) & set(common.tuning_seeds):
        raise ConfigError(
            f"{file.name}: seeds that settings are chosen on must not judge them: {sorted(both)}"
        )
    return common


def names(folder: Path) -> list[str]:
    """The names of all claims of a folder, in the order of their numbers."""
    files = [file for file in folder.glob("*.yaml") if file.stem != COMMON]
    return [file.stem for file in sorted(files, key=lambda file: (_yaml(file).get("number", 0), file.stem))]


def read_claim(folder: Path, name: str) -> Claim:
    """Read one claim; ConfigError, with the file and the key, on what cannot be."""
    known = names(folder)
    if name not in known:
        raise ConfigError(f"no claim '{name}' in {folder}: {nearest(name, known)}")
    where, node = f"{name}.yaml", {**_yaml(folder / f"{name}.yaml"), "name": name}
    for key in ("arms", "comparisons"):
        if not node.get(key):
            raise ConfigError(f"{where}: {key}: expected at least one")
    node["arms"] = {arm: _made(Arm, keys, f"{where}: arms.{arm}") for arm, keys in node["arms"].items()}
    node["comparisons"] = [
        _made(Comparison, keys, f"{where}: comparisons[{place}]")
        for place, keys in enumerate(node["comparisons"])
    ]
    if node.get("search"):
        node["search"] = _made(Search, node["search"], f"{where}: search")
    claim = _made(Claim, node, where)
    _check(claim, where)
    return claim


def _check(claim: Claim, where: str) -> None:
    for measure in claim.measures:
        one_of(f"{where}: measures", measure, MEASURES)
    for name, arm in claim.arms.items():
        if arm.tuned_as is not None:
            one_of(f"{where}: arms.{name}.tuned_as", arm.tuned_as, set(claim.arms) - {name})
            if claim.arms[arm.tuned_as].tuned_as is not None:
                raise ConfigError(f"{where}: arms.{name}.tuned_as={arm.tuned_as}: it is not searched itself")
    for place, comparison in enumerate(claim.comparisons):
        at = f"{where}: comparisons[{place}]"
        one_of(f"{at}.expect", comparison.expect, EXPECTATIONS)
        for name in (*comparison.arms, *comparison.against):
            one_of(f"{at}.arms", name, claim.arms)
        if comparison.margin <= 0:
            raise ConfigError(f"{at}.margin={comparison.margin}: expected a number above 0")
        if comparison.against and len(comparison.against) != len(comparison.arms):
            raise ConfigError(f"{at}.against: expected as many arms as there are in arms")
        if comparison.fold is not None:
            one_of(f"{at}.fold", comparison.fold, FOLDS)
        if (comparison.fold is None) != (len(comparison.arms) == 1):
            raise ConfigError(f"{at}.fold: several arms take {' or '.join(FOLDS)}, and one arm takes none")


def _ordered(arms: Sequence[str]) -> str:
    return ", ".join(arm.replace("_", " ") for arm in arms)


def _yaml(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise ConfigError(f"{file}: no such file")
    node = yaml.safe_load(file.read_text(encoding="utf-8"))
    if not isinstance(node, dict):
        raise ConfigError(f"{file}: expected keys and values")
    return node


def _made(kind: Any, node: Any, where: str) -> Any:
    """The dataclass of these keys; ConfigError on one that it has not, or that is not there."""
    if not isinstance(node, dict):
        raise ConfigError(f"{where}: expected keys and values, not {node!r}")
    known = {one.name for one in fields(kind)}
    if unknown := sorted(node.keys() - known):
        raise ConfigError(f"{where}: {unknown[0]}: {nearest(unknown[0], known)}")
    needed = [one.name for one in fields(kind) if one.default is one.default_factory is MISSING]
    if missing := [name for name in needed if name not in node]:
        raise ConfigError(f"{where}: {missing[0]} is not there")
    return kind(**node)
