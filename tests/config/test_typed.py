"""Overrides as they are typed: what is told of those that Hydra cannot read, and the quoting that works."""

import shlex

import pytest
from omegaconf import OmegaConf

from alignlab.config.typed import as_typed, parsed, require_typed
from alignlab.errors import ConfigError

TEXTS = [
    "/a/lr=1e-5/p.jsonl",
    "prefs (1).jsonl",
    "données.jsonl",
    "a,b",
    "x[1]",
    "{a",
    "$x",
    "a${oc.env:HOME}b",
    'a"b',
    "it's",
    "both ' and \"",
    "ends\\",
    'a\\"b',
    "a\\${x}",
    "日本 #&%!",
    "  lead",
    "2024",
    "1e5",
    "true",
    "null",
    "~/x",
    "",
]


@pytest.mark.parametrize("text", TEXTS)
def test_what_is_typed_so_arrives(text):
    (word,) = shlex.split(as_typed("data.path", text))
    (override,) = parsed([word])
    assert OmegaConf.create({"path": override.value()}).path == text


@pytest.mark.parametrize(
    "text", ["/a/lr=1e-5/p.jsonl", "prefs (1).jsonl", "données.jsonl", "x[1]", "a{b", "it's"]
)
def test_a_value_that_cannot_be_read_is_shown_quoted(text):
    with pytest.raises(ConfigError) as caught:
        require_typed(["-m", "objective=dpo", f"data.path={text}"])
    assert as_typed("data.path", text) in str(caught.value)


@pytest.mark.parametrize(
    ("word", "way"),
    [
        ("objective=3", "objective=3: expected a choice, of alpha_po, "),
        ("objective=null", "expected a choice"),
        ("objective=", "expected a choice"),
        ("objective={a:1}", "expected a choice"),
        ("objective=dpo,3", "expected a choice"),
        ("regularizers=null", "for none, regularizers=[]"),
        ("regularizers=[1]", "expected a choice, of anchor_chosen, "),
        ("regularizers=[[sft]]", "expected a choice"),
        ("sweeps=null", "expected a choice, of "),
        ("objective=[dpo,ipo]", "expected a choice, of "),
        ("--data=local", "without dashes: data=local"),
        ("--learning_rate", "without dashes: learning_rate=..."),
        ("--objective.loss.beta=0.1", "without dashes: objective.loss.beta=0.1"),
        ("optimizer.lr = 1e-4", "as in optimizer.lr=1e-4"),
        ("=3", "the key before = is missing"),
        ("regularizers=[sft", "close the bracket"),
        ("model=~/m", "model=local 'model.path=\"~/m\"'"),
        ("data=/a/b=1.jsonl", "data=local 'data.path=\"/a/b=1.jsonl\"'"),
    ],
)
def test_choices_that_are_none(word, way):
    with pytest.raises(ConfigError) as caught:
        require_typed([word])
    assert way in str(caught.value)
    assert "knobs" not in str(caught.value)


def test_what_hydra_takes_passes():
    require_typed(
        [
            "-m",
            "--cfg",
            "job",
            "objective=dpo,ipo",
            "objective='dpo','ipo'",
            "regularizers=[],[sft],[length]",
            "regularizers=choice([sft],[length])",
            "objective.loss.beta=tag(log, interval(0.01, 0.5))",
            "seed=range(3)",
            "~regularizers",
            "+metrics.mine={_target_: a.b}",
            "hydra/sweeper=optuna",
            "hydra.searchpath=[file:///x]",
        ]
    )
