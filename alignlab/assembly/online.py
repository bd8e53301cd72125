"""The check of settings by which lists are drawn from the policy; the first part imports no torch."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from alignlab.settings import Config
from alignlab.targets import locate

if TYPE_CHECKING:
    from alignlab.objective.objective import Objective

SPREAD = ("fsdp", "fsdp2", "deepspeed_zero3", "deepspeed_zero3_offload")
"""The strategies by which no process holds all weights."""
WORLDS = {"alignlab.lab.reward.": "lab", "alignlab.lab.sums.": "sums"}
"""The embedded worlds by what the names of their exact rewards begin with."""


def world_of(reward: object) -> str | None:
    """Return the data whose exact reward this is; None for a reward that is of no embedded world.

    >>> world_of("alignlab.lab.reward.gold")
    'lab'
    """
    return next((data for begin, data in WORLDS.items() if str(reward).startswith(begin)), None)


def online_problems(config: Config) -> Iterator[str]:
    """Yield a message for settings of the drawing that do not go together, or with the rest of the config."""
    online, judge = config.get("online") or {}, config.get("judge") or {}
    generator = str((config.get("generator") or {}).get("_target_"))
    if "samples" not in online:
        if judge:
            yield f"judge=... says which drawn response is better, and this recipe draws none: {_draws(config)}"
        if online:
            yield f"online.{', online.'.join(online)}: this recipe draws no responses; {_draws(config)}"
        return
    if generator.endswith(".Server"):
        yield (
            "generator=server draws from the model that the server has, and recipe=online from the policy as it "
            "trains: use generator=vllm (vLLM, or alignlab serve updates=true), or generator=inprocess"
        )
    lists, draw = online.get("lists", "drawn"), online.get("draw")
    yield from _unused(config, lists)
    if online.get("by") == "reference" and generator.endswith(".VLLM"):
        yield "online.by=reference draws in this process alone: use generator=inprocess"
    if isinstance(draw, Mapping):
        yield from _unused_by(draw, online)
    if not judge and lists == "drawn" and not draw:
        yield "recipe=online needs a judge of what is drawn: judge=gold (data=lab), judge=function, ..."
    data, asked = config["data"]["name"], judge["judge"] if isinstance(judge.get("judge"), Mapping) else judge
    world = world_of(asked.get("reward"))
    if world and data != world:
        yield (
            f"judge=gold is the exact reward of data={world}, not of data={data}: use judge=function "
            "judge.function=my.module.f, or another judge (of samples, online.lists=data, none is needed: ~judge)"
        )
    if (strategy := config["strategy"]["name"]) in SPREAD:
        yield (
            f"strategy={strategy} spreads the weights over ranks, and recipe=online draws from a model that is whole "
            "in its process: use strategy=ddp, or deepspeed_zero2"
        )
    changes, reward = online.get("unfinished"), online.get("unfinished_reward")
    if changes in ("subtract", "replace") and reward is None:
        yield f"online.unfinished={changes} needs a number: set online.unfinished_reward=..."
    if changes in ("keep", "drop") and reward is not None:
        yield (
            f"online.unfinished_reward={reward} is not used with online.unfinished={changes}: use subtract, or replace"
        )
    if "labels" in judge and (refills := online.get("refills")):
        yield (
            f"online.refills={refills} draws on in place of lists that got no label, and "
            f"judge.labels={judge['labels']} is for each draw: use online.refills=0, so that the budget holds"
        )
    keep = (online.get("pairs") or {}).get("keep")
    if isinstance(keep, int) and keep > online["samples"]:
        yield f"online.pairs.keep={keep}: there are online.samples={online['samples']} responses: draw as many at least"
    yield from _earlier_lists(online)


def _earlier_lists(online: Config) -> Iterator[str]:
    """Yield a message for what is set of lists of earlier weights: a buffer of them, or lists drawn ahead."""
    buffer = online.get("buffer") or {}
    size, share, counts = buffer.get("size"), buffer.get("share"), buffer.get("choose") == "count"
    if counts and not size:
        yield "online.buffer.choose=count takes all lists of a step from the buffer: set online.buffer.size"
    if size and not share and not counts:
        yield f"online.buffer.size={size} keeps lists, and online.buffer.share={share} trains on none of them"
    if ahead := online.get("ahead"):
        if size:
            yield f"online.ahead={ahead} and online.buffer.size={size} both train on lists of earlier weights: use one"
        if online.get("every") == 0:
            yield f"online.ahead={ahead}: online.every=0 draws all lists at once, and leaves none to be drawn ahead"


def _draws(config: Config) -> str:
    """Return what has a use for settings of the drawing."""
    if str((config.get("recipe") or {}).get("_target_")).endswith(".rlhf"):
        return "its stage policy does, and takes them by recipe.overrides={policy:[...]}"
    return "use recipe=online"


OF_LABELS: Config = {"unfinished": "keep", "labels": "auto", "distinct": False, "pairs": None}
"""What settles the labels of drawn lists, with what it is where nobody set it."""
OF_DRAWN_LISTS: Config = {
    "every": 1,
    "ahead": 0,
    "updates": 1,
    **OF_LABELS,
    "by": "policy",
    "draw": None,
    "refills": 8,
    "lr_factor": 4.0,
}
"""What settles drawn lists, with what it is where nobody set it."""
UNUSED = {
    "drawn": ({}, ""),
    "data": (OF_DRAWN_LISTS, "trains on the lists of the data, and draws samples anew for each step"),
    "against_data": (
        {**OF_LABELS, "draw": None},
        "trains on what is drawn as rejected, and on the best response of the data as chosen",
    ),
}
"""What is not used by online.lists, and what these do."""


def _unused(config: Config, lists: str) -> Iterator[str]:
    """Yield a message for what is set of drawn lists, or of their labels, where there are none."""
    online, (unused, does) = config["online"], UNUSED.get(lists, ({}, ""))
    given = [key for key, default in unused.items() if online.get(key, default) != default]
    if lists == "data" and (online.get("buffer") or {}).get("size"):
        given.append("buffer")
    if given:
        of = "drawn lists" if lists == "data" else "labels of drawn lists"
        yield (
            f"online.lists={lists} {does}: online.{', online.'.join(given)} settles {of} alone; leave it out, or use "
            "online.lists=drawn"
        )


OF_WHOLE_RESPONSES = (*OF_LABELS, "ahead")
"""What says how whole responses become labels, and when they are drawn."""


def _unused_by(draw: Mapping[str, object], online: Config) -> Iterator[str]:
    """Yield a message for what is set of whole responses, where a way of drawing gives labels of its own."""
    given = [key for key in OF_WHOLE_RESPONSES if online.get(key, OF_DRAWN_LISTS[key]) != OF_DRAWN_LISTS[key]]
    if given:
        yield (
            f"online.{', online.'.join(given)}: draw={_way_of(draw)} gives lists with labels of its own; leave it out, "
            "or choose no draw=..."
        )


def _way_of(draw: Mapping[str, object]) -> str:
    return str(draw.get("_target_")).rpartition(".")[2].lower()


def _drawing_problems(config: Config, objective: "Objective") -> Iterator[str]:
    """Yield a message where a way of drawing, or a reference that draws, does not go with judge or objective."""
    from alignlab.signals import DRAWN, FRESH

    online, judge = config["online"], config.get("judge")
    fresh = sorted((FRESH | {"from_reference"}) & objective.signals)
    if online.get("by") == "reference" and fresh:
        yield f"online.by=reference: {', '.join(fresh)} tell of what the policy draws: use online.by=policy"
    if not (draw := online.get("draw")):
        return
    way, name = locate(draw["_target_"], "online.draw._target_"), _way_of(draw)
    if way.judged and not judge:
        yield f"draw={name} asks a judge: judge=gold (data=lab), judge=function, ..."
    if judge and not way.judged:
        yield f"judge=... has nothing to judge: draw={name} knows which response is better; leave it out (~judge)"
    if told := sorted((DRAWN | FRESH) & objective.signals):
        yield (
            f"objective '{objective.name}' takes {', '.join(told)}, which a sampler tells of whole responses, and "
            f"draw={name} draws parts of them: use another objective"
        )
    if "rewards" in objective.signals and not way.rated:
        yield f"objective '{objective.name}' takes rewards, and draw={name} has none: use another objective"
    if objective.data_form == "single":
        yield f"objective '{objective.name}' takes single responses, and draw={name} makes pairs: use another objective"


def _fresh_problems(online: Config, generator: str, objective: "Objective") -> Iterator[str]:
    """Yield a message where samples would not be fresh, or of a part of the policy's distribution, or not used."""
    from alignlab.signals import FRESH

    if not (fresh := sorted(FRESH & objective.signals)):
        if online.get("lists") == "data":
            yield (
                "online.lists=data draws samples beside the lists of the data, and nothing takes them: add "
                "regularizers=[hypo], or regularizers=[kl] with regularizers.kl.responses=samples, or use "
                "online.lists=drawn"
            )
        return
    if generator.endswith(".VLLM"):
        yield f"{', '.join(fresh)}: validation draws samples in the process alone: use generator=inprocess"
    stale = {"every": 1, "ahead": 0, "updates": 1}
    given = [f"{key}={online[key]}" for key, least in stale.items() if online.get(key, least) != least]
    if size := (online.get("buffer") or {}).get("size"):
        given.append(f"buffer.size={size}")
    if given:
        yield (
            f"{', '.join(fresh)} are of samples of the policy as it is, and online.{', online.'.join(given)} trains on "
            "those of an earlier step: leave it out"
        )
    for key, off in (("top_p", 1.0), ("top_k", 0)):
        if online.get(key, off) != off:
            yield f"online.{key}={online[key]}: {', '.join(fresh)} are of the whole policy: use online.{key}={off:g}"


def unused_generator(config: Config) -> Iterator[str]:
    """Yield a message where a training names what draws responses, and draws none to train on."""
    if config.get("generator") and "samples" not in (config.get("online") or {}):
        yield f"generator=... draws responses to train on, and this recipe draws none: {_draws(config)}"


def online_objective_problems(config: Config, objective: "Objective") -> Iterator[str]:
    """Yield a message for what an objective asks for, and drawn lists cannot have."""
    from alignlab.signals import BASE, CLASSIFIER

    online = config.get("online") or {}
    if "samples" not in online:
        return
    yield from _fresh_problems(online, str((config.get("generator") or {}).get("_target_")), objective)
    yield from _drawing_problems(config, objective)
    lists = online.get("lists", "drawn")
    if lists == "data":
        return
    if lists == "against_data":
        yield from _nobody_told(objective)
    elif online["samples"] < 2 and objective.data_form != "single":
        yield (
            f"online.samples={online['samples']}: objective '{objective.name}' compares the responses to a prompt; "
            "draw 2 or more"
        )
    for name in sorted(objective.signals):
        if BASE[name].rows == "rationale":
            yield f"objective '{objective.name}' takes {name}, and drawn lists have no rationale: use another objective"
        if CLASSIFIER in BASE[name].providers:
            yield (
                f"objective '{objective.name}' takes {name}, which a step of the pipeline computes for the rows of the "
                "data, and not for drawn responses: use another objective"
            )
    for key, off in (("top_p", 1.0), ("top_k", 0)):
        if objective.takes_ratios and online.get(key, off) != off:
            yield (
                f"online.{key}={online[key]}: objective '{objective.name}' takes ratios to the policy that drew, which "
                f"a truncated sampler shifts: use online.{key}={off:g}"
            )


def _nobody_told(objective: "Objective") -> Iterator[str]:
    """Yield a message for what an objective asks of a response that nobody drew or judged."""
    from alignlab.signals import DRAWN

    for name in sorted(objective.signals & (DRAWN | {"rewards", "wins"})):
        yield (
            f"objective '{objective.name}' takes {name}, and online.lists=against_data has the best response of the "
            "data in each list, which nobody drew or judged: use another objective, or online.lists=drawn"
        )
