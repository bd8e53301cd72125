"""Every number of every yaml has a range, where its type stands, and a value beyond it is refused by its key."""

import copy
import math

import pytest

from alignlab.assembly.check import check_settings
from alignlab.assembly.nodes import call_nodes, from_source, term_nodes
from alignlab.assembly.schema import SCHEMA, at
from alignlab.errors import ConfigError
from alignlab.objective.load import load_objective
from alignlab.settings import Ends, Range, fits, hints_of, marks_of
from alignlab.signatures import hint_of
from tests.assembly.mutations import configs
from tests.config.compose import composed, problem

DESCRIBED = ("ranges", "notes")
"""The keys below which numbers set nothing."""


@pytest.fixture(scope="module")
def every(untyped):
    return {name: config for name, config in configs().items() if not config["data"].get("parts")}


def hints(config):
    """The type of every setting that a config has, by its path."""
    known = {}
    for path, schema in SCHEMA.items():
        node = at(config, path)
        known |= {
            (*path.split("."), key): hint for key, hint in hints_of(schema).items() if key in (node or {})
        }
    for path, node in {**call_nodes(config), **term_nodes(config)}.items():
        signature = from_source(str((node or {}).get("_target_")), path)
        parameters = signature.parameters if signature else {}
        known |= {(*path.split("."), key): hint_of(p) for key, p in parameters.items() if key in node}
    return {tuple(part for part in path if part): hint for path, hint in known.items()}


def settings(every):
    """Every setting of every choice once: a config that has it, its path, its value and its type."""
    once = {}
    for config in every.values():
        for path, hint in hints(config).items():
            value = at(config, ".".join(path))
            owner = at(config, ".".join([*path[:-1], "_target_"]))
            once.setdefault((path, owner), (config, path, value, hint))
    return list(once.values())


def is_number(value):
    values = value if isinstance(value, list) and value else [value]
    return all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values)


def numbers(node, path=()):
    for key, value in node.items():
        if isinstance(value, dict) and key not in DESCRIBED:
            yield from numbers(value, (*path, key))
        elif is_number(value):
            yield (*path, key)


def test_every_number_of_every_yaml_has_a_range(every):
    bare = set()
    for config in every.values():
        known = hints(config)
        bare |= {path for path in numbers(config) if not marks_of(known.get(path))}
    assert {path for path in bare if path[-1] != "weight"} == set()  # of terms: any number, or a schedule


def beyond(value, hint):
    """Values just out of the range of a type."""
    for mark in marks_of(hint):
        if isinstance(mark, Ends):
            yield from ([1.0, 0.0], [0.5], [math.nan, 1.0], [-1.0, 2.0, 3.0])
        elif isinstance(mark, Range):
            ends = [mark.low - 1, mark.high + 1, math.nan, math.inf, "", []]
            yield from (
                [
                    [end] if isinstance(value, list) else end
                    for end in ends
                    if not fits(end, hint, ranges=True)
                ]
            )


def test_a_value_beyond_its_range_is_refused_by_its_key(every):
    taken, planted = [], 0
    for config, path, value, hint in settings(every):
        for strange in beyond(value, hint):
            if fits(strange, hint, ranges=True):
                continue
            wrong = copy.copy(config)
            node = wrong
            for key in path[:-1]:
                node[key] = dict(node[key])
                node = node[key]
            node[path[-1]] = strange
            planted += 1
            try:
                check_settings(wrong)
                taken.append((path, strange))
            except ConfigError as error:
                if f"{'.'.join(path)}=" not in str(error):
                    taken.append((path, strange, str(error)))
    assert not taken
    assert planted > 400


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["objective.loss.beta=-1"], "objective.loss.beta=-1: expected a number above 0"),
        (
            ["objective=wpo", "objective.modifiers.wpo.clamp_max=-1"],
            "clamp_max=-1: expected a number of at least 0 or null",
        ),
        (["model.loader.skill=2"], "model.loader.skill=2: expected [low,high] between 0 and 1"),
        (["data.source.skill=2"], "data.source.skill=2: expected a share between 0 and 1"),
        (["data.source.sources={easy:{gap:-1}}"], "data.source.gap=-1: expected a number of at least 0"),
        (["run_name=../../x"], "run_name=../../x: expected the name of one folder"),
        (["seed=4294967296"], "seed=4294967296: expected a whole number from 0 to 4294967295"),
        (
            ["optimizer.betas=[2,3]"],
            "optimizer.betas=[2, 3]: expected a list, each a share of at least 0 and below 1",
        ),
        (["optimizer.betas=[0.9]"], "optimizer: AdamW refuses its settings"),
        (["recipe=curriculum", f"recipe.stages={10**22}"], "expected a whole number from 1 to 100"),
        (["recipe=stepwise", f"recipe.steps={10**22}"], "expected a whole number from 1 to 100"),
        (
            [f"trainer.max_steps={10**30}"],
            "trainer.max_steps=10**30 or so: expected a whole number from 1 to 10**12 or null",
        ),
        (["objective=mrpo", "objective.loss.alpha=2"], "expected a share between 0 and 1 or adaptive"),
        (["~trainer.devices"], "trainer.devices is missing"),
        (["trainer.max_steps=1e3"], "expected a whole number from 1 to 10**12 or null; write 1000"),
        (
            ["objective=chi_po", "objective.loss.clip=inf"],
            "expected a number above 0 or null; infinity and NaN are none",
        ),
        (
            ["objective.loss.beta='0.1'"],
            "objective.loss.beta=0.1: expected a number above 0; in quotes it is a text",
        ),
        (
            ["policy=user_model", "objective=pal", "policy.users=[1,2]"],
            "expected a list of texts or null; quoted twice, a number is a text: '[\"1\"]'",
        ),
        (
            ["policy=user_model", "objective=pal", "policy.users=[anna,ben,anna]"],
            "policy.users names anna twice: a user has one mixture",
        ),
        (
            ["regularizers=[sft]", "regularizers.sft.weight={start:1,end:0}"],
            "regularizers.sft.weight: a weight that goes from start to end needs its schedule: linear or cosine",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_the_message_names_key_value_and_range(overrides, said):
    assert said in problem(composed(*overrides))


@pytest.mark.parametrize(
    "overrides",
    [
        ["objective=alpha_po", "objective.loss.alpha=-3.0"],
        ["regularizers=[entropy]", "regularizers.entropy.weight=-2"],
        ["regularizers=[sft]", "regularizers.sft.weight={schedule:cosine,start:1,end:0}"],
        ["objective.loss.beta=1000.0", "optimizer.lr=0", "optimizer.betas=[0,0.95]"],
        ["evaluation=none", "~evaluation.prompts"],
        ["model.loader.skill=[0.5,0.5]", "objective=chi_po", "objective.loss.clip=null"],
    ],
    ids=" ".join,
)
def test_strange_and_legal_values_are_taken(overrides):
    assert problem(composed(*overrides)) == ""


def test_ranges_hold_without_a_config():
    with pytest.raises(ConfigError, match=r"objective.loss.epsilon=0.5: expected a rate of wrong labels"):
        load_objective("rdpo", epsilon=0.5)
