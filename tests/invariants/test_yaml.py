"""Every yaml of an objective, regularizer or modifier: its name, its keys, its description, and that it builds."""

import pytest

from alignlab import load_objective
from alignlab.objective.card import GROUPS, cards
from alignlab.objective.load import build_objective, read_choice
from alignlab.objective.objective import FORMS, REDUCTIONS, SCALES
from alignlab.objective.pair_selection import CHOICES
from alignlab.objective.settings import ABOUT
from alignlab.objective.term import KINDS
from alignlab.signals import contract
from alignlab.targets import locate
from tests.invariants.cases import MODIFIERS, OBJECTIVES, REGULARIZERS

CARDS = [card for group in GROUPS for card in cards(group)]
every_card = pytest.mark.parametrize("card", CARDS, ids=lambda card: f"{card.group}.{card.name}")


def settings(node):
    """What a node sets: all but its target, its kind, its weight, and its description."""
    return {k: v for k, v in node.items() if k not in ("_target_", "kind", "weight", *ABOUT)}


def defaults(node):
    """The defaults of a node's target; by keyword `reduction` is the setting of an objective."""
    return dict(contract(locate(node["_target_"]), "").hyper)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_settings_of_the_objective(name):
    node, objective = read_choice("objective", name), load_objective(name)
    assert node["name"] == objective.name == name
    assert set(node) - {"pairs", "form", "implicit_reward", "labels", "modifiers", *ABOUT} == {
        "name",
        "loss",
        "reduction",
    }
    assert node["reduction"] in REDUCTIONS
    assert node.get("form", "pairs") in FORMS
    assert node.get("labels", "order") in SCALES
    assert node.get("pairs", "none") in (CHOICES if objective.is_pairwise else {"none"})


@pytest.mark.parametrize("name", OBJECTIVES)
def test_yaml_reaches_the_loss(name):
    """Every hyper-parameter stands in the file, and its value is bound."""
    node = read_choice("objective", name)
    objective = build_objective(node, {})
    assert settings(node["loss"]).keys() == defaults(node["loss"]).keys() - {"reduction"}
    assert settings(node["loss"]).items() <= objective.loss.hyper.items()
    inverse = node["loss"]["temperature"] if objective.reward.scores == "preferences" else 1.0
    assert objective.reward.beta == (
        node["loss"].get("beta") or 1 / inverse
    )  # a beta of 0 gives none a reward
    assert [term.name for term in objective.modifiers] == list(node.get("modifiers", {}))


@pytest.mark.parametrize("name", OBJECTIVES)
def test_yaml_has_the_defaults_of_the_function(name):
    loss = read_choice("objective", name)["loss"]
    assert settings(loss).items() <= defaults(loss).items() or "modifiers" in read_choice("objective", name)


@pytest.mark.parametrize("name", REGULARIZERS)
def test_regularizer_lists_its_weight_and_every_hyper_parameter(name):
    ((key, node),) = read_choice("regularizers", name).items()
    assert key == name
    assert settings(node).keys() == defaults(node).keys()
    assert node.get("kind", "additive") in KINDS
    (term,) = load_objective("dpo", regularizers=[name]).regularizers
    assert (term.weight.start, term.kind) == (node["weight"], node.get("kind", "additive"))


@pytest.mark.parametrize("name", MODIFIERS)
def test_modifier_lists_every_hyper_parameter(name):
    ((key, node),) = read_choice("modifiers", name).items()
    assert key == name
    assert settings(node).keys() == defaults(node).keys()


def numbers(name):
    return [key for key, value in read_choice("objective", name)["loss"].items() if isinstance(value, float)]


@pytest.mark.parametrize("name", [name for name in OBJECTIVES if numbers(name)])
def test_hyper_parameter_override_leaves_the_rest(name):
    loss = read_choice("objective", name)["loss"]
    key = numbers(name)[0]
    changed = loss[key] / 2 + 0.01
    assert (settings(loss) | {key: changed}).items() <= load_objective(
        name, **{key: changed}
    ).loss.hyper.items()


@every_card
def test_description_is_of_the_settings_there_are(card):
    node = read_choice(card.group, card.name)
    node = node if card.group == "objective" else node[card.name]
    hyper = {h.name: h for h in card.hyper}
    assert {*node.get("ranges", {}), *node.get("notes", {})} <= hyper.keys()
    assert card.title
    for name in node.get("ranges", {}):
        default, values = hyper[name].default, hyper[name].range
        if any(isinstance(value, str) for value in values):
            assert default in values
        else:
            low, high = values
            assert low < high
            assert default is None or isinstance(default, str) or low <= default <= high


@pytest.mark.parametrize("card", [c for c in CARDS if c.group == "objective"], ids=lambda card: card.name)
def test_every_choice_and_both_ends_of_a_range_build(card):
    for hyper in card.hyper:
        for value in hyper.range:
            whole = isinstance(value, str) or hyper.name == "topn" or isinstance(hyper.default, int)
            load_objective(card.name, **{hyper.name: value if whole else float(value)})
