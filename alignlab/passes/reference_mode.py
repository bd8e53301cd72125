"""The source of a reference's scores: one cached pass, or a live model."""

from alignlab.errors import ConfigError, one_of
from alignlab.objective.objective import Objective
from alignlab.signals import BASE, OTHERS, REFERENCE, provided_by

MODES = ("auto", "precomputed", "live", "adapter", "none")
UPDATES = ("none", "ema", "hard", "best")


def resolve_mode(
    mode: str,
    objective: Objective,
    *,
    adapter: bool = False,
    update: str = "none",
    drawn: bool = False,
    draws: bool = False,
) -> str:
    """Resolve the mode `auto` for this objective; raises ConfigError where a mode cannot serve it.

    `adapter`: the policy without its adapters is the reference, so that it needs no second copy.
    `drawn`: rows are drawn while the policy trains, so that none can be scored before.
    `draws`: the reference itself draws the rows, so that it must be a live model of its own.
    `update` other than none: the reference follows the policy, so it must be live.
    """
    one_of("reference.mode", mode, MODES)
    if one_of("reference.update", update, UPDATES) != "none":
        return _moving(mode, objective, update, draws)
    if draws and mode not in ("auto", "live"):
        raise ConfigError(
            f"online.by=reference draws from the reference, and reference={mode} is no model of its own: use "
            "reference=live"
        )
    if draws:
        return "live"
    of_references = provided_by(objective.signals, REFERENCE, OTHERS)
    uncached = sorted(name for name in of_references if not BASE[name].own)
    if mode == "precomputed" and drawn:
        raise ConfigError(
            "reference=precomputed scores rows before the training, and recipe=online draws them in its course: use "
            "reference=auto"
        )
    if mode == "auto":
        if uncached or (drawn and objective.needs_reference):
            return "adapter" if adapter else "live"
        return "precomputed" if objective.needs_reference else "none"
    if mode == "none" and objective.needs_reference:
        raise ConfigError(
            f"objective '{objective.name}' needs a reference: use reference=auto, not reference=none"
        )
    if mode == "adapter" and not adapter:
        raise ConfigError(
            "reference=adapter is the model that training starts from, with its adapters off: choose peft=lora and "
            "no reference.path, and a model that is no adapter itself (one belongs to the reference too), or use "
            "reference=live"
        )
    if mode == "precomputed" and uncached:
        raise ConfigError(
            f"{', '.join(uncached)} cannot be kept from one pass over the data: use reference=live, not precomputed"
        )
    return mode


def _moving(mode: str, objective: Objective, update: str, draws: bool) -> str:
    """Return the mode of a reference that follows the policy; raises ConfigError where the mode cannot follow."""
    if not (objective.needs_reference or draws):
        raise ConfigError(
            f"reference.update={update} moves a reference, and objective '{objective.name}' takes none: use "
            "reference.update=none"
        )
    if mode not in ("auto", "live"):
        raise ConfigError(
            f"reference.update={update} changes the reference in the course of the run, and reference={mode} is scored "
            "once, or fixed: use reference=live"
        )
    return "live"
