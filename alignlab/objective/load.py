"""Building an objective from its yaml: by name in one's own loop, or from a composed config."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
import yaml

from alignlab.errors import ConfigError, nearest
from alignlab.objective.inputs import blank
from alignlab.objective.objective import Objective
from alignlab.objective.settings import ABOUT
from alignlab.objective.term import Term, make_term
from alignlab.places import CONF, choices
from alignlab.signals import LOSS, is_known_before
from alignlab.targets import locate

Node = Mapping[str, Any]


def load_objective(
    name: str,
    *,
    regularizers: Mapping[str, float | Node] | Iterable[str] = (),
    modifiers: Mapping[str, Node] | Iterable[str] = (),
    pairs: str | None = None,
    reduction: str | None = None,
    **hyper: Any,
) -> Objective:
    """Load the objective of that name (the stem of its file in conf/objective), without Hydra.

    `hyper` overrides hyper-parameters of the loss, or of a modifier that the objective's yaml has under its
    `modifiers` (as `cdpo` has label_smoothing); `regularizers` maps names to weights (or to
    settings), or lists names at their default weights; `modifiers` maps names to settings, or lists
    names. Call the result on tensors by keyword:
    `objective(logps=[B, K], ref_logps=[B, K], lengths=[B, K], labels=[B, K])`.

    Raises ConfigError, naming the nearest valid name, on anything misspelt.
    """
    node = read_choice("objective", name)
    if pairs is not None and "pairs" not in node:
        raise ConfigError(f"objective '{name}' sees whole lists: pairs={pairs} has no meaning for it")
    settings = {"pairs": pairs, "reduction": reduction}
    node = _with_hyper(node, hyper) | {k: v for k, v in settings.items() if v is not None}
    return build_objective(node, _chosen("regularizers", regularizers), _chosen("modifiers", modifiers))


def _with_hyper(node: Node, hyper: Mapping[str, Any]) -> dict[str, Any]:
    """Return an objective's node with these hyper-parameters set, in its loss or the modifier that has them."""
    loss, modifiers = dict(node["loss"]), {k: dict(v) for k, v in node.get("modifiers", {}).items()}
    for key, value in hyper.items():
        owners = [settings for settings in (loss, *modifiers.values()) if key in settings]
        (owners or [loss])[0][key] = value
    return {**node, "loss": loss, "modifiers": modifiers}


def _chosen(group: str, choice: Mapping[str, Any] | Iterable[str]) -> dict[str, Node]:
    """Return the nodes of the choices of a multi-select group, with the caller's changes."""
    changes = choice if isinstance(choice, Mapping) else {name: {} for name in choice}
    return {
        name: {
            **read_choice(group, name)[name],
            **(change if isinstance(change, Mapping) else {"weight": change}),
        }
        for name, change in changes.items()
    }


def build_objective(
    node: Node,
    regularizers: Mapping[str, Node],
    modifiers: Mapping[str, Node] | None = None,
    metrics: Mapping[str, Node] | None = None,
) -> Objective:
    """Build an objective from plain mappings: its yaml, and the composed regularizers, modifiers and metrics.

    Modifiers of the objective's own yaml are the inner ones.
    """
    loss = build_term(node["name"], node["loss"], "objective.loss")
    terms = [build_term(name, term, f"regularizers.{name}") for name, term in regularizers.items()]
    own = {f"objective.modifiers.{name}": term for name, term in node.get("modifiers", {}).items()}
    chosen = {f"modifiers.{name}": term for name, term in (modifiers or {}).items()}
    changes = [_modifier(path, term) for path, term in (own | chosen).items()]
    watched = [build_term(name, term, f"metrics.{name}") for name, term in (metrics or {}).items()]
    keys = ("pairs", "reduction", "form", "implicit_reward", "labels")
    settings = {key: node[key] for key in keys if key in node}
    objective = Objective(node["name"], loss, terms, changes, metrics=watched, **settings)
    _probe(objective)
    return objective


def _modifier(path: str, node: Node) -> Term:
    """Build a modifier from its node; raises ConfigError where its target does not take the loss."""
    term = build_term(path.rpartition(".")[2], node, path)
    if LOSS not in term.contract.extra:
        raise ConfigError(f"{path} does not take the loss as its first parameter")
    return term


def _probe(objective: Objective) -> None:
    """Run an objective once on a blank pair, so that a misspelt option fails here and not in the first step.

    Terms that have yet to learn the sizes of the model (`bind`) cannot run.
    """
    if any(hasattr(module, "bind") for module in objective.modules.values()):
        return
    like = torch.tensor([[1.0, 0.0]])
    blanks = {name: blank(name, like, {}) for name in objective.signals if is_known_before(name)}
    ones = {name: torch.ones_like(like) for name, value in blanks.items() if value.shape == like.shape}
    try:
        objective.counts(**{**blanks, **ones, "lengths": torch.ones_like(like), "labels": like})
    except ConfigError as error:
        raise ConfigError(f"objective '{objective.name}': {error}") from error


def build_term(name: str, node: Node, path: str) -> Term:
    """Build a loss, regularizer or modifier from its node: `_target_`, `weight`, `kind`, and hyper-parameters.

    `path` is where the node stands in the config, for messages.
    """
    if not isinstance(node, Mapping) or "_target_" not in node:
        group = path.split(".")[0]
        raise ConfigError(
            f"{path} is set, but no {group} '{name}' is chosen: add it ('{group}=[{name}]') or drop the setting"
        )
    hyper = {key: value for key, value in node.items() if key not in ABOUT}
    target = locate(hyper.pop("_target_"), f"{path}._target_")
    weight, kind = hyper.pop("weight", 1.0), hyper.pop("kind", "additive")
    return make_term(name, target, hyper, weight=weight, kind=kind, path=path)


def read_choice(group: str, name: str) -> dict[str, Any]:
    """Read one yaml file of a config group; raises ConfigError with the nearest name where there is none."""
    if name not in choices(group):
        raise ConfigError(f"no {group} '{name}': {nearest(name, choices(group))}")
    text = (CONF / group / f"{name}.yaml").read_text(encoding="utf-8")
    return yaml.safe_load(text)
