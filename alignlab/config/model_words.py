"""A model folder in the place of a choice of the group `model`: `model=/my/model`, with the policy that it holds."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from alignlab.errors import ConfigError
from alignlab.places import choices
from alignlab.policies.causal_lm.model_folder import ModelFolder
from alignlab.runs.overrides import key_of, quoted


def with_model_folder(overrides: Sequence[str]) -> list[str]:
    """Return the overrides with `model=FOLDER` as the choices that load it and score with its head.

    What is typed of policy, objective and model stays. Raises ConfigError for a classifier of several labels that does
    not say what it is, unless a policy is typed.
    """
    place = next((i for i, text in enumerate(overrides) if key_of(text) == "model"), None)
    value = "" if place is None else overrides[place].partition("=")[2]
    folder = Path(value).expanduser()
    if place is None or value in choices("model") or not ("/" in value or folder.is_dir()):
        return [*overrides]
    groups = {key_of(text) for text in overrides}
    told = _choices_of(folder)
    if told is None and "policy" not in groups:
        raise ConfigError(
            f"model={value} is a classifier of several labels, and no reward model: give one with one label, or the "
            "model/ of a run, or say what it is by policy="
        )
    own = [text for text in told or () if key_of(text).partition(".")[0] not in groups]
    rest = [*overrides[:place], *overrides[place + 1 :]]
    return [*own, "model=local", f"model.path={quoted(value)}", *rest]


def scores_of_its_own(folder: Path) -> bool:
    """Whether a model folder holds a sequence classifier, whose head scores responses."""
    here = ModelFolder(folder)
    names = here.config.get("architectures") or () if here.is_model else ()
    return any(str(name).endswith("ForSequenceClassification") for name in names)


def _choices_of(folder: Path) -> list[str] | None:
    """Return the policy that the config of a folder tells, and an objective that goes by its scores.

    None for a classifier of several labels whose config tells nothing.
    """
    if not scores_of_its_own(folder):
        return []
    config = ModelFolder(folder).config
    labels = len(config.get("id2label") or {}) or 2
    if users := config.get("alignlab_users"):
        return _user_model(folder, users, labels)
    if (kind := config.get("alignlab_preferences")) is not None:
        normalize = str(kind["normalize"]).lower()
        return [
            "policy=preference_model",
            f"policy.dimension={labels}",
            f"policy.normalize={normalize}",
            "objective=gpm",
        ]
    if rated := config.get("alignlab_attributes"):
        return _attribute_model(rated)
    if classes := config.get("alignlab_classes"):
        return ["policy=classifier", f"policy.classes={_listed(classes)}", "objective=p2c"]
    return ["policy=reward_model", "objective=bradley_terry"] if labels == 1 else None


def _attribute_model(rated: Mapping[str, Any]) -> list[str]:
    """Return the policy of an attribute model, whose attributes and the sizes of its gate stand in its config."""
    verbosity = rated["verbosity"]
    return [
        "policy=attribute_model",
        f"policy.attributes={_listed(rated['names'])}",
        f"policy.verbosity={'null' if verbosity is None else quoted(verbosity)}",
        "policy.fit=attributes",  # nothing is fitted anew
        f"policy.gate_width={rated['width']}",
        f"policy.gate_layers={rated['layers']}",
        f"policy.temperature={rated['temperature']}",
        "objective=bradley_terry",
    ]


def _listed(names: Sequence[Any]) -> str:
    """Return names as a list in an override."""
    return f"[{','.join(quoted(str(name)) for name in names)}]"


def _user_model(folder: Path, users: Sequence[Any], width: int) -> list[str]:
    """Return the policy of a user model, whose form and prototypes stand in the names and shapes of its weights."""
    from safetensors import safe_open

    with safe_open(folder / "user_head.safetensors", "np") as stored:
        form = "A" if "prototypes" in stored.keys() else "B"  # noqa: SIM118
        prototypes = stored.get_slice("logits").get_shape()[1]
    return [
        "policy=user_model",
        f"policy.users={_listed(users)}",
        f"policy.form={form}",
        f"policy.prototypes={prototypes}",
        f"policy.width={width}",
        "objective=pal",
    ]
