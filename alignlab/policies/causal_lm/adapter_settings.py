"""The settings of adapters, which are the schema of conf/peft; no torch is imported here."""

from dataclasses import dataclass
from typing import Literal

from alignlab.settings import Positive, ShareBelowOne


@dataclass(frozen=True)
class PeftSettings:
    """What trains: all weights, or LoRA adapters (arXiv:2106.09685) beside weights that stay."""

    method: Literal["none", "lora", "qlora"] = "none"
    r: Positive = 16
    alpha: Positive = 32
    dropout: ShareBelowOne = 0.0
    rslora: bool = False
    dora: bool = False
    target_modules: str | list[str] = "all-linear"
    modules_to_save: list[str] | None = None
    export: Literal["merged", "adapter"] = "merged"
