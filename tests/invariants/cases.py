"""Every objective, regularizer and modifier with every option: what the invariants hold for.

All are discovered from conf: a new yaml file is under every invariant from its first day. Each law runs on one
representative of every kind of loss, and on every choice whose values no vector holds; on all of them with
`-m exhaustive`.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from functools import cache, partial
from types import MappingProxyType
from typing import Any, get_args

import pytest
import torch

from alignlab import load_objective
from alignlab.errors import ConfigError
from alignlab.objective.load import build_term, read_choice
from alignlab.objective.objective import Objective
from alignlab.objective.pair_selection import CHOICES
from alignlab.objective.settings import ABOUT
from alignlab.places import choices
from alignlab.settings import fits, options_of
from alignlab.signals import VOCABULARY, list_name
from alignlab.signatures import hint_of
from alignlab.targets import locate
from tests.invariants.batches import BOUND, random_signals
from tests.losses.vector_cases import HELD

OBJECTIVES, REGULARIZERS, MODIFIERS = choices("objective"), choices("regularizers"), choices("modifiers")
OF_LISTS = ["truncated_is"]
"""Modifiers of losses of lists; the others are of pairs."""
OFFSETS = [r for r in REGULARIZERS if read_choice("regularizers", r)[r].get("kind") == "offset"]
ADDITIVE = [r for r in REGULARIZERS if r not in OFFSETS]
FEW = ["dpo", "kto", "lipo_lambda", "simpo"]
BESIDE = [("sft", name) for name in OBJECTIVES] + [
    (regularizer, name) for regularizer in REGULARIZERS for name in FEW if regularizer != "sft"
]
"""Regularizer and objective: every one of each, but not every combination."""

# Numbers that make another loss, and words that go only together; flags, words and null are discovered.
NUMBERS = {
    "aot": {"epsilon": 0.2},
    "aot_unpaired": {"epsilon": 0.2},
    "bco": {"udm": True, "delta": "none"},
    "d2o": {"references": 2},
    "dapo": {"longest": 4, "cache": 2},
    "gpo": {"clamp": 100.0},
    "kl": {"responses": "samples", "estimator": "k3", "reduction": "seq_sum"},
    "lipo_lambda": {"topn": 2},
    "grpo": {"beta": 0.0},
    "mrpo": {"alpha": 0.3},
    "raft": {"threshold": 0.5},
    "reinforce_pp": {"over": "tokens", "beta": 0.02},
    "rloo": {"beta": 0.05, "epsilon": 0.2},
    "sft": {"label_smoothing": 0.1},
    "spa": {"window": 2, "quiet": 0.0, "alpha": 0.4},
}
Make = Callable[..., Objective]
"""Called with hyper-parameters, and `reduction` by keyword."""
AS_IT_IS: Mapping[str, Any] = MappingProxyType({})


def whole(name: str, hyper: Mapping[str, Any] = AS_IT_IS, **settings: Any) -> Objective:
    """An objective; a pairwise one on all pairs."""
    pairs = {"pairs": "all"} if "pairs" in read_choice("objective", name) else {}
    return load_objective(name, **{**pairs, **hyper, **settings})


def alone(name: str, hyper: Mapping[str, Any] = AS_IT_IS, **settings: Any) -> Objective:
    """An additive regularizer as an objective of its own."""
    node = {**read_choice("regularizers", name)[name], **hyper}
    return Objective(name, build_term(name, node, f"regularizers.{name}"), **settings)


def changes(node: Mapping[str, Any], make: Make) -> Iterator[dict[str, Any]]:
    """Settings that change one option of a yaml's node: a flag turned, another word, a limit dropped."""
    parameters = inspect.signature(locate(node["_target_"])).parameters
    optional = {name for name, p in parameters.items() if p.default is None or fits(None, hint_of(p))}
    for key, value in node.items():
        if key in ABOUT:
            continue
        if isinstance(value, bool):
            yield {key: not value}
        elif isinstance(value, str) and key not in ("_target_", "kind"):
            said = [word for option in options_of(hint_of(parameters[key])) for word in get_args(option)]
            yield from ({key: word} for word in said or words(key, make) if word != value)
        if key in optional and value is not None:
            yield {key: None}


def words(key: str, make: Make) -> list[str]:
    """What a string option may be, told by the error that names the valid ones."""

    def run(objective: Objective) -> Any:
        return objective(**random_signals(objective))

    with pytest.raises(ConfigError, match="valid names: ") as told:
        run(make({key: "?"}))
    return str(told.value).partition("valid names: ")[2].split(", ")


def variants(name: str, make: Make, *nodes: Mapping[str, Any]) -> Iterator[tuple[str, Make]]:
    """As the yaml has it, then every change of one option that goes with the rest."""
    more = [NUMBERS[name]] if name in NUMBERS else []
    for change in ({}, *(change for node in nodes for change in changes(node, make)), *more):
        try:
            make(change)
        except ConfigError:
            assert change not in ({}, *more)
            continue
        title = " ".join([name, *(f"{key}={value}" for key, value in change.items())])
        yield title, partial(make, change)


def under(modifier: str) -> str:
    """The case of a modifier: with the loss of pairs, or of lists, that it changes."""
    return f"{'grpo' if modifier in OF_LISTS else 'dpo'} under {modifier}"


def discovered() -> dict[str, Make]:
    makers: dict[str, Make] = {}
    for name in OBJECTIVES:
        node = read_choice("objective", name)
        makers |= variants(name, partial(whole, name), node["loss"], *node.get("modifiers", {}).values())
    makers |= {
        f"dpo pairs={pairs}": partial(whole, "dpo", pairs=pairs) for pairs in CHOICES if pairs != "all"
    }
    makers |= {under(name): partial(whole, under(name).split()[0], modifiers=[name]) for name in MODIFIERS}
    for name in ADDITIVE:
        node = read_choice("regularizers", name)[name]
        makers |= {f"{k} alone": make for k, make in variants(name, partial(alone, name), node)}
    return makers


MAKERS = discovered()


@cache
def made(case: str, reduction: str) -> Objective:
    return MAKERS[case](reduction=reduction)


def build(case: str, *, reduction: str = "mean", dtype: torch.dtype = torch.float64) -> Objective:
    """A fresh objective, bound to a model; its parameters, if any, some steps from where they start."""
    objective = bound(deepcopy(made(case, reduction)), dtype)
    rng = torch.Generator().manual_seed(0)
    for module in objective.modules.values():
        for parameter in module.parameters():
            parameter.data += 0.3 * torch.randn(parameter.shape, generator=rng).to(dtype)
    return objective


def bound(objective: Objective, dtype: torch.dtype = torch.float64) -> Objective:
    """The same objective, which now knows a model's sizes and has parameters of that precision."""
    objective.bind(BOUND)
    for module in objective.modules.values():
        for parameter in module.parameters():
            parameter.data = parameter.data.to(dtype)
    return objective


# A value of the whole run is no sum over lists: it has tests of its own.
RUN_CASES = [c for c in MAKERS if all(VOCABULARY[s].shape == "" for s in build(c).loss.contract.signals)]
CASES = [c for c in MAKERS if c not in RUN_CASES]
PAIRWISE = [c for c in CASES if build(c).is_pairwise]
LATE = ["spa"]
"""Cases whose state says nothing before a run is long."""
STATEFUL = [
    c for c in CASES if c not in LATE and any(module.state_dict() for module in build(c).modules.values())
]
LEARNING = [c for c in STATEFUL if any(list(module.parameters()) for module in build(c).modules.values())]


def kind(case: str) -> tuple:
    """What the machine treats alike: shapes of the signals, statistics of the step, own counts and state, form."""
    objective = build(case)
    terms = (objective.loss, *objective.modifiers)
    shapes = {VOCABULARY[signal].shape for term in terms for signal in term.contract.signals}
    contributed = [objective.loss.contribution] if objective.loss.contribution else []
    returned = (
        objective.loss.contract.is_pairwise or objective(**random_signals(objective)).values[objective.name]
    )
    return (
        frozenset(shapes),
        returned is True or returned.shape[1:],
        bool(objective.modifiers),
        frozenset(VOCABULARY[signal].shape for c in contributed for signal in c.signals),
        [sorted(module.state_dict()) for module in objective.modules.values()] != [],
        objective.data_form,
        case.split()[0] in OBJECTIVES,
    )


def representatives() -> set[str]:
    """One case of every kind, each choice of pairs, and every choice that no vector holds, as its yaml has it."""
    first: dict[tuple, str] = {}
    for case in sorted(CASES, key=lambda case: (case not in ("dpo", "lipo_lambda"), len(case.split()))):
        first.setdefault(kind(case), case)
    pairs = {case for case in CASES if " pairs=" in case}
    return {*first.values(), *pairs, *(set(OBJECTIVES) - HELD)}


REPRESENTATIVES = representatives()


def for_each(argument: str, values: Sequence[Any]) -> pytest.MarkDecorator:
    """Parametrize a law over cases (or tuples that end with one); all but the representatives are exhaustive."""
    names = [value[-1] if isinstance(value, tuple) else value for value in values]
    return pytest.mark.parametrize(
        argument,
        [
            pytest.param(
                *(value if isinstance(value, tuple) else (value,)),
                marks=() if name in {*REPRESENTATIVES, *FEW} else pytest.mark.exhaustive,
            )
            for name, value in zip(names, values, strict=True)
        ],
    )


def is_anchored(case: str) -> bool:
    """Whether the loss sees the policy through log-ratios only."""
    objective = build(case)
    terms = (objective.loss, *objective.modifiers)
    seen = {list_name(signal) for term in terms for signal in term.contract.signals}
    return "logratios" in seen and "logps" not in seen and "token_logps" not in seen


ANCHORED = [c for c in CASES if is_anchored(c)]
