"""Judges that are made of others, which stand inside of them in a config, a node with a `_target_` each."""

from collections.abc import Iterable, Mapping
from typing import Any

from alignlab.errors import ConfigError
from alignlab.judges.judge import Bound, Judge
from alignlab.targets import locate

INSIDE = ("judges", "judge")
"""The settings of judges that hold others: several by name, or one."""


def built(node: Mapping[str, Any], path: str) -> Judge:
    """Return the judge of a node; raises ConfigError for one that names none."""
    if not isinstance(node, Mapping) or "_target_" not in node:
        raise ConfigError(
            f"{path}: expected a judge, for example +judge@{path}=reward_model {path}.path=<folder>"
        )
    settings = {key: value for key, value in node.items() if key != "_target_"}
    judge: Judge = locate(node["_target_"], f"{path}._target_")(**settings)
    return judge


def all_built(nodes: Mapping[str, Any]) -> dict[str, Judge]:
    """Return the judges of several nodes by name; raises ConfigError where there are none."""
    if not nodes:
        raise ConfigError(
            "judge.judges names none: for example +judge@judge.judges.one=reward_model judge.judges.one.path=<folder>"
        )
    return {name: built(node, f"judge.judges.{name}") for name, node in nodes.items()}


def wanted_by(judges: Iterable[Judge]) -> frozenset[str]:
    """Return which models of the run these judges read."""
    return frozenset().union(*(judge.wants for judge in judges if isinstance(judge, Bound)))


def bind_all(judges: Iterable[Judge], policy: Any, reference: Any) -> None:
    """Give the models of the run to those judges that may judge by them."""
    for judge in judges:
        if isinstance(judge, Bound):
            judge.bind(policy, reference)
