"""Every yaml of an objective or regularizer: its name, its keys, and that it builds."""

import inspect

import pytest

from alignlab import load_objective
from alignlab.objective.load import build_objective, read_choice
from alignlab.objective.objective import FORMS, REDUCTIONS
from alignlab.objective.pair_selection import CHOICES
from alignlab.objective.term import KINDS
from alignlab.targets import locate
from tests.invariants.cases import OBJECTIVES, REGULARIZERS


def keyword_only(target):
    parameters = inspect.signature(locate(target)).parameters.values()
    return {p.name for p in parameters if p.kind is p.KEYWORD_ONLY}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_objective_is_named_after_its_file(name):
    assert read_choice("objective", name)["name"] == name
    assert load_objective(name).name == name


@pytest.mark.parametrize("name", OBJECTIVES)
def test_objective_lists_every_hyper_parameter(name):
    loss = read_choice("objective", name)["loss"]
    own = keyword_only(loss["_target_"]) - {"reduction"}  # by keyword that name is the objective's setting
    assert set(loss) - {"_target_"} == own


@pytest.mark.parametrize("name", OBJECTIVES)
def test_settings_of_the_objective(name):
    node = read_choice("objective", name)
    assert node["reduction"] in REDUCTIONS
    assert set(node) - {"pairs", "form", "implicit_reward"} == {"name", "loss", "reduction"}
    assert node.get("form", "pairs") in FORMS
    assert node.get("pairs", "none") in (CHOICES if load_objective(name).is_pairwise else {"none"})


@pytest.mark.parametrize("name", OBJECTIVES)
def test_yaml_reaches_the_loss(name):
    """Every value of the file is bound, and none but these."""
    node = read_choice("objective", name)
    objective = build_objective(node, {})
    bound = objective.loss.contract.hyper | getattr(objective.loss.function, "keywords", {})
    assert {k: bound[k] for k in node["loss"] if k != "_target_"} == {
        k: v for k, v in node["loss"].items() if k != "_target_"
    }
    assert objective.reward.beta == node["loss"].get("beta", 1.0)


@pytest.mark.parametrize("name", REGULARIZERS)
def test_regularizer_is_named_after_its_file(name):
    assert list(read_choice("regularizers", name)) == [name]


@pytest.mark.parametrize("name", REGULARIZERS)
def test_regularizer_lists_its_weight_and_every_hyper_parameter(name):
    node = read_choice("regularizers", name)[name]
    assert set(node) - {"kind"} == {"_target_", "weight"} | keyword_only(node["_target_"])
    assert node.get("kind", "additive") in KINDS
    (term,) = load_objective("dpo", regularizers=[name]).regularizers
    assert (term.weight.start, term.kind) == (node["weight"], node.get("kind", "additive"))


@pytest.mark.parametrize("name", OBJECTIVES)
def test_hyper_parameter_override_leaves_the_rest(name):
    loss = read_choice("objective", name)["loss"]
    key = next(k for k, v in loss.items() if isinstance(v, float))
    changed = loss[key] / 2 + 0.01
    term = load_objective(name, **{key: changed}).loss
    bound = term.contract.hyper | getattr(term.function, "keywords", {})
    for other, value in (loss | {key: changed}).items():
        assert other == "_target_" or bound[other] == value
