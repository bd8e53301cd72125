"""The model that a config describes, built without weights, to be counted and traced."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch

from alignlab.errors import ConfigError
from alignlab.planner.growth import Growth, Lists, growth
from alignlab.planner.memory import Elements
from alignlab.planner.traced import Pass
from alignlab.policies.causal_lm.adapter_settings import PeftSettings
from alignlab.policies.causal_lm.adapters import lora
from alignlab.policies.causal_lm.decoder import layers_of
from alignlab.policies.causal_lm.model_folder import ModelFolder
from alignlab.policies.causal_lm.pretrained import is_adapter
from alignlab.settings import Config


@dataclass(frozen=True)
class Subject:
    """The model that a config describes; equal ones are counted and traced once."""

    name: str
    text: str
    """The text of its config.json."""
    dtype: torch.dtype
    attention: str
    adapters: PeftSettings | None
    """The settings of LoRA; None without it."""
    trust_remote_code: bool
    config: Any = field(compare=False, repr=False)

    def build(self, config: Any) -> Any:
        """Build the model of a transformers config with these settings, on the device of the context."""
        from transformers import AutoModelForCausalLM

        model = AutoModelForCausalLM.from_config(  # type: ignore[no-untyped-call]
            config,
            dtype=self.dtype,
            attn_implementation=self.attention,
            trust_remote_code=self.trust_remote_code,
        )
        return lora(lambda: (model, None), self.adapters)[0] if self.adapters else model


def subject_of(config: Config, source: Any, precision: str, *, own: bool, named: str | None) -> Subject:
    """The model that trains, in its dtype: with `own`, the engine keeps weights in its own precision."""
    loader, peft = config["model"]["loader"], config["peft"]
    if peft["method"] == "qlora":
        raise ConfigError(
            "the memory of weights in 4 bits is not planned: plan for peft=lora, which takes more"
        )
    low = precision == "bf16-true" or (precision == "bf16-mixed" and own)
    return Subject(
        name=named or config["model"].get("path") or config["model"]["name"],
        text=source.to_json_string(use_diff=False),
        dtype=torch.bfloat16 if low else stored(loader, precision),
        attention=loader.get("attn_implementation", "sdpa"),
        adapters=None if peft["method"] == "none" else PeftSettings(**_hashable(peft)),
        trust_remote_code=loader.get("trust_remote_code", False),
        config=source,
    )


def _hashable(node: Config) -> Config:
    """The settings of a node with tuples in the place of lists."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in node.items()}


def stored(loader: Config, precision: str) -> torch.dtype:
    """The dtype that weights are stored in."""
    whole = {"bf16-true": torch.bfloat16, "64-true": torch.float64}
    return whole.get(precision) or getattr(torch, loader.get("dtype", "float32"))


def place_of(model: Config) -> Mapping[str, Any]:
    """The arguments by which `config_at` finds the config.json of the chosen model."""
    loader, path = model["loader"], model.get("path")
    if path and is_adapter(path):
        path = ModelFolder(Path(path).expanduser()).base
    options = {key: loader[key] for key in ("trust_remote_code", "revision") if key in loader}
    return {"path": path, "local_copy": loader.get("local_copy"), **options}


@cache
def elements(subject: Subject) -> Elements:
    """Count the elements of a model's weights, on a model without data."""
    with torch.device("meta"):
        model = subject.build(subject.config)
    weights = list(model.parameters())
    layers = [sum(weight.numel() for weight in layer.parameters()) for layer in layers_of(model)]
    every = sum(weight.numel() for weight in weights)
    return Elements(
        every,
        sum(weight.numel() for weight in weights if weight.requires_grad),
        max(layers),
        every - sum(layers),
    )


@cache
def growth_of(subject: Subject, lists: Lists, run: Pass) -> Growth:
    """Measure how memory grows with lists; ConfigError for an architecture that cannot run without data."""
    try:
        return growth(subject.config, subject.build, lists, run)
    except (RuntimeError, ValueError, TypeError, ImportError) as error:  # what an architecture may raise
        reason = str(error).partition("\n")[0][:200]
        raise ConfigError(
            f"the memory of {subject.name} cannot be planned: without data its code fails ({type(error).__name__}: "
            f"{reason}); plan for a shape= like it"
        ) from error
