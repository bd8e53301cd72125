"""Configs of every choice, and what a hand that slips or means harm makes of them: values, keys and command lines."""

import copy
import math
from collections.abc import Iterator
from random import Random
from typing import Any

from hydra import initialize_config_dir

from alignlab.config import resolvers
from alignlab.config.stage_configs import composed
from alignlab.config.typed import options
from alignlab.objective.load import read_choice
from alignlab.places import CONF, choices

Config = dict[str, Any]
FILES = ("kto", "local", "sentiment", "token_ids", "human_eval", "pandalm")
"""The sources that are read from files alone."""
ON_TOKENS = (
    "curry",
    "desirable_probs",
    "filter_ches",
    "filter_difficulty",
    "filter_reference_outliers",
    "order_by",
    "stepwise",
)
ON_TEXTS = sorted({*choices("pipeline")} - {*ON_TOKENS, "unpaired"})
OF_A_HEAD = ("values", "preferences", "attribute_values", "class_logits")
"""What objectives compare that a language model does not give; they come with their policy."""
APART = {("recipe", "stages"), ("recipe", "online"), ("objective", "ppo"), ("modifiers", "truncated_is")}
"""Choices that need others, and come with them."""
STAGES = "[{name:first,overrides:['objective=ipo']},{name:last,init:previous}]"
LINES = [
    [],
    ["data=shp", "model=smollm2_135m"],
    ["data=kto", "model=smollm2_135m", "objective=kto", "data.path=rows.jsonl"],
    ["regularizers=[anchor_chosen,entropy,kl,length,sft,simctg]"],
    ["regularizers=[l2_to_reference,preference_degree]"],
    [f"pipeline=[{','.join(ON_TEXTS)}]"],
    [f"pipeline=[{','.join(ON_TOKENS)}]"],
    ["objective=kto", "pipeline=[unpaired]"],
    ["recipe=stages", f"recipe.stages={STAGES}"],
    ["recipe=online", "online.samples=8", "pairs=threshold"],
    ["experiment=sapo"],
    ["experiment=mcts_dpo"],
    ["recipe=rlhf"],
    ["policy=actor_critic", "objective=ppo"],
    ["objective=grpo", "modifiers=[truncated_is]"],
    ["reference=live", "optimizer=rmsprop", "scheduler=cosine", "callbacks=step_log"],
    ["reference=adapter", "peft=lora"],
    ["launcher=slurm", "logger=[wandb]"],
    ["policy=reward_model", "objective=bradley_terry"],
    ["policy=reward_model", "objective=plackett_luce_values"],
    ["policy=preference_model", "objective=gpm"],
    ["policy=user_model", "objective=pal", "policy.users=[anna,ben]"],
    ["policy=classifier", "objective=p2c"],
    ["policy=reranker", "objective=dpa_rag"],
    ["policy=attribute_model", "objective=bradley_terry", "policy.attributes=[quality,length]"],
    ["data=mixture", "model=smollm2_135m", "data.parts={shp:{weight:2},hh_rlhf:{limit:3}}"],
]
"""Command lines that choose what a yaml alone does not give; the other choices take the place of a node of these."""
STRANGE: list[Any] = [
    *(0, -1, 1, 2, 3, 7, 2**31, 2**32, 2**63, 10**13, 10**22, 10**400, -(10**400)),
    *(-0.0, 0.5, 1.5, -0.5, math.nan, math.inf, -math.inf, 1e308, -1e308, 1e-320),
    *(
        "",
        " ",
        "../../x",
        "/x/y",
        "\0",
        "é",
        "\ud800",
        "null",
        "auto",
        "none",
        "a,b",
        "${x}",
        "1e5",
        "-1",
        "x" * 10000,
    ),
    *("math.sqrt", "alignlab.losses.pairs.ipo.ipo", None, True, False),
    *(
        [],
        [1],
        ["a"],
        [[]],
        [0.2, 0.8],
        [2, 3],
        [math.nan, 1],
        [None],
        [1, 2, 3],
        {},
        {"a": 1},
        {1: 2},
        {None: None},
    ),
    *({"_target_": "math.sqrt"}, {"_target_": 1}, {"_target_": "alignlab.losses.pairs.dpo.dpo"}),
    *({"schedule": "linear", "start": 1, "end": 0}, {"schedule": "linear", "start": 10**400, "end": 0}),
]
GONE = object()
"""Stands for a key that was taken out."""


def configs() -> dict[str, Config]:
    """A sound config for every choice of every group that has settings, by what was chosen; rows.jsonl holds rows."""
    resolvers.register()
    with initialize_config_dir(str(CONF), version_base=None):
        made = {" ".join(line): composed("train", line) for line in LINES}
    plain, hub, single = (made[" ".join(line)] for line in LINES[:3])
    for group in ("objective", "modifiers", "recipe", "strategy"):
        for name in choices(group):
            node = {"modifiers": {}} if group == "objective" else {}
            node |= read_choice(group, name)
            if node.get("implicit_reward") not in OF_A_HEAD and (group, name) not in APART:
                made[f"{group}={name}"] = {**plain, group: node}
    knobs = read_choice("data", "knobs")
    for name in options("data"):
        node = {**knobs, **read_choice("data", name), **({"path": "rows.jsonl"} if name in FILES else {})}
        if node.pop("defaults") and name not in ("lab", "sums", "mixture", "kto"):
            made[f"data={name}"] = {**(single if node["form"] == "single" else hub), "data": node}
    return {name: copy.deepcopy(config) for name, config in made.items()}


def places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every node and value below a node."""
    below = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in below:
        yield (*path, key)
        yield from places(value, (*path, key))


def mutated(config: Config, rng: Random) -> tuple[Config, list[Any]]:
    """A copy of a config with one to three changes, and these changes."""
    config, changes = copy.deepcopy(config), []
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        *above, last = rng.choice([*places(config)])
        value = GONE if rng.random() < 0.08 else copy.deepcopy(rng.choice(STRANGE))
        last = "strange" if rng.random() < 0.08 else last
        changes.append(changed(config, (*above, last), value))
    return config, changes


def changed(config: Config, path: tuple[Any, ...], value: Any) -> tuple[Any, ...]:
    """Set a value in a config, or take it out; returns the change."""
    node: Any = config
    for key in path[:-1]:
        node = node[key]
    if isinstance(node, list) and not isinstance(path[-1], int):
        node.append(value)
    elif value is GONE:
        node.pop(path[-1]) if isinstance(node, list) else node.pop(path[-1], None)
    else:
        node[path[-1]] = value
    return (*path, "taken out" if value is GONE else value)


WORDS = [
    *(
        "objective",
        "objective.loss.beta",
        "seed",
        "run_name",
        "data",
        "data.path",
        "trainer.max_steps",
        "model",
        "hydra",
    ),
    *(
        "pipeline",
        "regularizers",
        "optimizer.betas",
        "metrics.mine",
        "hydra.run.dir",
        "data.parts",
        "x",
        "",
        "é",
        "a b",
    ),
    *(
        "objective@other",
        "hydra/launcher",
        "callbacks.checkpoint",
        "data.source",
        "reference.path",
        "recipe.overrides",
    ),
]
VALUES = [
    *(
        "",
        "1",
        "dpo",
        "lab",
        "[",
        "]",
        "[1,2",
        "{",
        "{a:1",
        "{a:{b:[1,{c:2}]}}",
        "[[[[[[1]]]]]]",
        "a=b",
        "=",
        "==",
        "'",
        '"',
    ),
    *(
        "'a",
        "\\",
        "\\'",
        "${",
        "${x}",
        "${oc.env:NOPE}",
        "${seed}",
        "${run_folder:1}",
        "a,b",
        "[kl,sft]",
        "choice(1,2)",
    ),
    *(
        "range(1,10)",
        "interval(0,1)",
        "glob(*)",
        "null",
        "nan",
        "inf",
        "9" * 5000,
        "1e999",
        "-1",
        "é",
        "漢",
        "\u202e",
        "\ud800",
    ),
    *(
        "\0",
        "a\nb",
        " x",
        "x ",
        "~",
        "../../x",
        "/x/y",
        "x" * 5000,
        "[" * 60 + "]" * 60,
        "{a:" * 60 + "1" + "}" * 60,
        "???",
    ),
    *(
        "sort(3,1)",
        "shuffle(1,2)",
        "int(1)",
        "str(x",
        "json_str(1)",
        "tag(a,1)",
        "extend_list(1)",
        "%",
        "#",
        "@",
        "$",
        ":",
        "a:b",
    ),
]


def typed_line(rng: Random) -> list[str]:
    """One to three words of a command line, of odd signs, keys and values."""
    return [_word(rng) for _ in range(rng.choice((1, 1, 2, 3)))]


def _word(rng: Random) -> str:
    if rng.random() < 0.5:
        return f"{rng.choice(('', '', '', '+', '++', '~'))}{rng.choice(WORDS)}={rng.choice(VALUES)}"
    sign = rng.choice(("", "", "", "+", "++", "~", "+++", "-", "--", "~~", "@", "="))
    word = f"{sign}{rng.choice(WORDS)}{rng.choice(('=', '=', '=', '', '==', ' = ', ':', '+='))}{rng.choice(VALUES)}"
    if rng.random() < 0.3:
        at = rng.randrange(len(word) + 1)
        word = (
            word[:at]
            + rng.choice(("=", "[", "}", "'", "${", ",", "\\", "é", ".", "+", " ", "\t"))
            + word[at:]
        )
    return word
