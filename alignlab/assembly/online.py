"""The check of settings by which lists are drawn from the policy; the first part imports no torch."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from alignlab.settings import Config

if TYPE_CHECKING:
    from alignlab.objective.objective import Objective

SPREAD = ("fsdp", "fsdp2", "deepspeed_zero3", "deepspeed_zero3_offload")
"""The strategies by which no process holds all weights."""
LAB = "alignlab.lab."
"""What the names of rewards that know the embedded world alone begin with."""


def online_problems(config: Config) -> Iterator[str]:
    """Yield a message for settings of the drawing that do not go together, or with the rest of the config."""
    online, judge = config.get("online") or {}, config.get("judge") or {}
    generator = str((config.get("generator") or {}).get("_target_"))
    if "samples" not in online:
        if judge:
            yield "judge=... says which drawn response is better, and this recipe draws none: use recipe=online"
        if online:
            yield f"online.{', online.'.join(online)}: this recipe draws no responses; use recipe=online"
        return
    if generator.endswith(".Server"):
        yield (
            "generator=server draws from the model that the server has, and recipe=online from the policy as it "
            "trains: use generator=vllm (vLLM, or alignlab serve updates=true), or generator=inprocess"
        )
    if not judge:
        yield "recipe=online needs a judge of what is drawn: judge=gold (data=lab), judge=function, ..."
    data = config["data"]["name"]
    if str(judge.get("reward")).startswith(LAB) and data != "lab":
        yield (
            f"judge=gold is the exact reward of data=lab, not of data={data}: use judge=function "
            "judge.function=my.module.f, or another judge"
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
    size, share = (online.get("buffer") or {}).get("size"), (online.get("buffer") or {}).get("share")
    if size and not share:
        yield f"online.buffer.size={size} keeps lists, and online.buffer.share={share} trains on none of them"


def unused_generator(config: Config) -> Iterator[str]:
    """Yield a message where a training names what draws responses, and draws none to train on."""
    if config.get("generator") and "samples" not in (config.get("online") or {}):
        yield "generator=... draws responses to train on, and this recipe draws none: use recipe=online"


def online_objective_problems(config: Config, objective: "Objective") -> Iterator[str]:
    """Yield a message for what an objective asks for, and drawn lists cannot have."""
    from alignlab.signals import BASE, CLASSIFIER

    online = config.get("online") or {}
    if "samples" not in online:
        return
    if online["samples"] < 2 and objective.data_form != "single":
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
