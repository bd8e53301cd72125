"""What a stage is made of, before anything is loaded, and what it comes to."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from alignlab.data.load import DataSpec
from alignlab.objectives.objective import Objective

LoadModel = Callable[[], tuple[Any, Any]]
"""Gives (transformers model, tokenizer), anew at each call."""


@dataclass(frozen=True)
class TrainerSpec:
    """How long and on what; conf/trainer/default.yaml says what each means."""

    max_epochs: int = 1
    max_steps: int | None = None
    devices: int = 1
    num_nodes: int = 1
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    precision: Literal["32-true", "bf16-mixed", "bf16-true", "64-true"] = "32-true"
    gradient_clip_val: float | None = 1.0
    gradient_checkpointing: bool = False
    validate_every_n_steps: int | None = None


@dataclass(frozen=True)
class ReferenceSpec:
    """Where reference log-probabilities come from.

    `is_start`: it is the very model that training starts from, so the first loss is known. `second` is
    the name and loader of a second reference, for objectives that take two; None is the first again.
    """

    mode: str
    name: str
    load: LoadModel
    is_start: bool
    check_start: bool = True
    second: tuple[str, LoadModel] | None = None


@dataclass(frozen=True)
class GoldSpec:
    """How samples are drawn and scored; `reward(prompt, response)` has a field `reward`."""

    reward: Callable[[str, str], Any]
    prompts: int = 128
    samples_per_prompt: int = 1
    max_new_tokens: int = 64
    seed: int = 0


@dataclass(frozen=True)
class Stage:
    """All choices of a stage, ready to be used."""

    objective: Objective
    data: DataSpec
    load_model: LoadModel
    reference: ReferenceSpec
    make_optimizer: Callable[[nn.Module, int], tuple[torch.optim.Optimizer, Any]]
    """(all that is trained, steps) to (optimizer, schedule)."""
    make_loggers: Callable[[], Sequence[Any]]
    trainer: TrainerSpec
    cache_dir: Path
    seed: int
    checkpoint_every: int
    progress_every: int
    packing: str = "auto"
    """Whether each prompt is read once for all its responses: auto | on | off."""
    gold: GoldSpec | None = None
    step_log: Path | None = None
    """Where every step is written down for measuring from outside, if at all."""


@dataclass(frozen=True)
class Result:
    """What a stage came to. Metrics are named as in metrics.csv."""

    status: str
    """finished | interrupted"""
    steps: int
    model: Any
    tokenizer: Any
    initial: Mapping[str, float]
    final: Mapping[str, float]
    best: Mapping[str, float]
    timings: Mapping[str, float]
    """Seconds."""
    tokens_per_second: float
    facts: Mapping[str, Any] = field(default_factory=dict)
    samples: Sequence[Mapping[str, Any]] = ()
    stopped_by: int | None = None
    """The signal that ended it early."""
