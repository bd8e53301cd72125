"""Search spaces, read from overrides."""

import pytest

from alignlab.errors import ConfigError
from alignlab.launch.search import parse_search

optuna = pytest.importorskip("optuna")
from optuna.distributions import (  # noqa: E402
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)


def test_what_stays_what_is_searched_and_what_is_repeated():
    search = parse_search(
        [
            "objective=dpo,ipo",
            "optimizer.lr=tag(log, interval(1e-6, 1e-4))",
            "modifiers.ld.alpha=interval(0.0, 1.0)",
            "data.limit=int(interval(10, 20))",
            "regularizers=[kl],[kl,sft]",
            "data=lab",
            "+extra=1",
            "seed=3,4",
        ],
        seed=0,
    )
    assert search.fixed == ["data=lab", "+extra=1"]
    assert search.seeds == ["3", "4"]
    assert search.space == {
        "objective": CategoricalDistribution(["dpo", "ipo"]),
        "optimizer.lr": FloatDistribution(1e-6, 1e-4, log=True),
        "modifiers.ld.alpha": FloatDistribution(0.0, 1.0),
        "data.limit": IntDistribution(10, 20),
        "regularizers": CategoricalDistribution(["[kl]", "[kl,sft]"]),
    }
    values = dict(zip(search.space, ("ipo", 1.25e-5, 0.5, 12, "[kl]"), strict=True))
    assert search.overrides(values, "4") == [
        "data=lab",
        "+extra=1",
        "objective=ipo",
        "optimizer.lr=1.25e-05",
        "modifiers.ld.alpha=0.5",
        "data.limit=12",
        "regularizers=[kl]",
        "seed=4",
    ]


def test_the_later_of_two_holds():
    space = ["objective.loss.beta=interval(0.1, 0.5)", "optimizer.lr=interval(0.1, 0.2)", "seed=0,1,2"]
    search = parse_search([*space, "optimizer.lr=0.15", "objective.loss.beta=0.2,0.3", "seed=7"], seed=0)
    assert search.fixed == ["optimizer.lr=0.15"]
    assert search.space == {"objective.loss.beta": CategoricalDistribution(["0.2", "0.3"])}
    assert search.seeds == ["7"]


def test_without_seeds_there_is_the_seed_of_the_run():
    assert parse_search(["objective=dpo,ipo"], seed=5).seeds == ["5"]


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["objective=dpo", "seed=1,2"], "nothing to search"),
        (["optimizer.lr=interval(2, 1)"], "low < high"),
        (["optimizer.lr=tag(log, interval(0, 1))"], "above 0"),
    ],
)
def test_what_cannot_be_searched(overrides, told):
    with pytest.raises(ConfigError, match=told):
        parse_search(overrides, seed=0)
