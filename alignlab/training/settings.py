"""The settings of a training as dataclasses: each is the schema of its group in conf/, whose yaml says what they mean.

Nothing here imports torch, so that settings are checked before anything heavy is loaded.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from alignlab.settings import (
    Count,
    Elsewhere,
    NonNegative,
    Place,
    Positive,
    PositiveNumber,
    Seed,
    Share,
    ShareBelowOne,
    Text,
    whole,
)

Update = Literal["none", "ema", "hard", "best"]


@dataclass(frozen=True)
class TrainerSpec:
    """How long a stage trains and on what: conf/trainer."""

    max_epochs: Positive = 1
    max_steps: Positive | None = None
    devices: Annotated[int, whole(1, 1024)] = 1
    num_nodes: Annotated[int, whole(1, 10_000)] = 1
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    precision: Literal["auto", "32-true", "bf16-mixed", "bf16-true", "64-true"] = "auto"
    gradient_clip_val: PositiveNumber | None = 1.0
    gradient_checkpointing: bool = False
    meta_rate: PositiveNumber | None = None
    """How far weights go along the gradient that tells lists of weight 0 apart, before a step's gradient is taken."""
    validate_every_n_steps: Positive | None = None
    on_nonfinite: Literal["stop", "skip"] = "stop"
    max_nonfinite: Positive = 10


@dataclass(frozen=True)
class OptimizerSpec:
    """What optimizers mean by the names that they share, besides the settings of their own: conf/optimizer."""

    lr: Literal["auto"] | NonNegative = "auto"
    weight_decay: NonNegative = 0.0
    betas: list[ShareBelowOne] = field(default_factory=lambda: [0.9, 0.999])
    eps: NonNegative | list[NonNegative] = 1e-8
    alpha: Share = 0.99
    """How much of the mean of squared gradients stays in a step of RMSprop."""
    momentum: NonNegative = 0.0


@dataclass(frozen=True)
class CheckpointSpec:
    """When a checkpoint is written and which ones stay: conf/callbacks, `checkpoint`."""

    every_n_steps: Positive | Literal["auto"] = "auto"
    keep: Positive = 2
    best: Text | None = None
    best_mode: Literal["min", "max"] = "min"
    background: bool = False


@dataclass(frozen=True)
class ProgressSpec:
    """How often a line tells where the training is: conf/callbacks, `progress`."""

    every_n_steps: Positive = 10


@dataclass(frozen=True)
class StepLogSpec:
    """Where every step is written down for measuring from outside: conf/callbacks, `step_log`."""

    path: Place | None = None


@dataclass(frozen=True)
class MovingSpec:
    """How the reference follows the policy; part of conf/reference."""

    update: Update = "none"
    every_n_steps: Positive = 512
    ema_decay: Share = 0.4


@dataclass(frozen=True)
class ReferenceSettings(MovingSpec):
    """Which model the reference is, and where its scores come from: conf/reference."""

    mode: Literal["auto", "precomputed", "live", "adapter", "none"] = "auto"
    path: Place | None = None
    of: Literal["start", "base"] = "start"
    others: list[Place] = field(default_factory=list)
    check_start: bool = True
    shard: bool | Literal["auto"] = "auto"


@dataclass(frozen=True)
class ShownSpec:
    """How samples are drawn that nothing scores: conf/evaluation without a reward."""

    prompts: Count = 4
    samples_per_prompt: Positive = 1
    max_new_tokens: Positive = 64
    seed: int = 0


@dataclass(frozen=True)
class GoldSpec:
    """How samples are drawn and scored: conf/evaluation; `reward(prompt, response)` has a field `reward`."""

    reward: Callable[[str, str], Any]
    prompts: Count = 128
    samples_per_prompt: Annotated[int, whole(1, 1000)] = 1
    max_new_tokens: Annotated[int, whole(1, 10**6)] = 64
    seed: Annotated[Seed, Elsewhere()] = 0
