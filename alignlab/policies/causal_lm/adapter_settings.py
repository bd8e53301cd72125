"""The settings of adapters, which are the schema of conf/peft; no torch is imported here."""

from dataclasses import dataclass
from typing import Annotated, Literal

from alignlab.settings import Positive, ShareBelowOne, Text, whole


@dataclass(frozen=True)
class PeftSettings:
    """What trains: all weights, or LoRA adapters (arXiv:2106.09685) beside weights that stay."""

    method: Literal["none", "lora", "qlora"] = "none"
    r: Annotated[int, whole(1, 65_536)] = 16
    alpha: Positive = 32
    dropout: ShareBelowOne = 0.0
    rslora: bool = False
    dora: bool = False
    target_modules: Text | list[Text] = "all-linear"
    modules_to_save: list[Text] | None = None
    export: Literal["merged", "adapter"] = "merged"
