"""The check that the policy of a config gives what the objective asks for; its messages say who does otherwise."""

from collections.abc import Collection, Iterator

from alignlab.assembly.check import failure_of
from alignlab.data.steps import signal_of
from alignlab.objective.load import read_choice
from alignlab.objective.objective import Objective
from alignlab.places import choices
from alignlab.policies.policy import Policy
from alignlab.settings import Config
from alignlab.signals import BASE, CLASSIFIER, FRESH, IN_EVERY_BATCH, TRAINING, base_names, provided_by
from alignlab.targets import locate

OWN_LOOP = "compute the loss in your own loop (alignlab.load_objective)"


def policy_problems(config: Config, objective: Objective) -> Iterator[str]:
    """Yield a message for all that the policy of a config cannot do; none where its `_target_` is misspelt."""
    node = config["policy"]
    if failure_of(locate, node.get("_target_", ""), "policy._target_"):
        return
    policy = locate(node["_target_"])
    if not (isinstance(policy, type) and issubclass(policy, Policy)):
        yield f"policy._target_={node['_target_']}: expected a class of policies (alignlab.policies.policy.Policy)"
        return
    yield from policy.problems(node, objective.signals)
    drawn = FRESH if (config.get("online") or {}).get("samples") else set()
    yield from unprovided(node, objective, given_by(config["pipeline"]) | drawn)
    if config.get("online") and not policy.draws:
        yield (
            f"recipe=online trains a policy on its own responses, and policy={name_of(node)} draws none: use "
            "policy=causal_lm"
        )
    if config["trainer"].get("meta_rate") and "values" not in objective.signals:
        yield f"trainer.meta_rate is for rewards by a model's values, and objective={objective.name} takes none"
    if (reward := config["evaluation"]["reward"]) and not policy.draws:
        yield (
            f"evaluation.reward={reward} scores samples, and policy={name_of(node)} draws none: use evaluation=none"
        )


def given_by(pipeline: Config) -> set[str]:
    """The signals that steps of a pipeline compute."""
    steps = [node.get("_target_", "") for node in pipeline.values()]
    found = (signal_of(locate(path)) for path in steps if not failure_of(locate, path))
    return {signal for signal in found if signal}


def unprovided(policy: Config, objective: Objective, given: Collection[str] = ()) -> Iterator[str]:
    """Yield a message for every part of an objective that asks for signals which nobody provides.

    `given` are those that the pipeline computes, and those of samples that the run draws; others come from the policy
    and from the data.
    """
    gives = (locate(policy["_target_"], "policy._target_").provides - FRESH) | {*given}
    missing = objective.signals - gives - IN_EVERY_BATCH - provided_by(objective.signals, TRAINING)
    asked: dict[tuple[str, str], list[str]] = {}
    for name in sorted(missing):
        asked.setdefault((_taker(objective, name), _way(policy, name)), []).append(name)
    for (taker, way), names in asked.items():
        yield f"{taker} takes {', '.join(names)}: {way}"


def name_of(policy: Config) -> str:
    """Return the choice in `conf/policy` that a policy's node comes from; the path of its class if there is none."""
    target: str = policy["_target_"]
    return next((name for name in choices("policy") if _target(name) == target), target)


def _taker(objective: Objective, signal: str) -> str:
    """Return the part of an objective whose signature asks for a signal; the objective, for what an offset moves."""
    for term in (*objective.terms, *objective.modifiers):
        contracts = (term.contract, *([term.contribution] if term.contribution else []))
        if any(signal in base_names(name) for contract in contracts for name in contract.signals):
            return term.name
    return objective.name


def _way(policy: Config, signal: str) -> str:
    """Return why a signal is not available, and what to do."""
    if signal in FRESH:
        return (
            "they are of samples that the policy draws while it trains: use recipe=online online.lists=data"
        )
    if CLASSIFIER in BASE[signal].providers:
        return f"a step of the pipeline computes them: use pipeline=[unpaired,{signal}]"
    givers = [name for name in choices("policy") if signal in locate(_target(name)).provides]
    if givers:
        giver = min(givers, key=_asks)
        return f"policy={name_of(policy)} does not give this; use policy={giver}, or another objective"
    return f"no policy here gives this; {OWN_LOOP}"


def _asks(name: str) -> tuple[int, int]:
    """Return how many settings a choice of `conf/policy` leaves to the user, and how many signals it gives."""
    policy = locate(_target(name))
    return len(list(policy.problems(_node(name)))), len(policy.provides)


def _target(name: str) -> str:
    target: str = _node(name)["_target_"]
    return target


def _node(name: str) -> Config:
    node = read_choice("policy", name)
    inner: Config = node.get("policy", node)
    return inner
