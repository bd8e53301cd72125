"""What a stage is made of, before anything is loaded, and what it comes to."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from alignlab.data.spec import DataSpec
from alignlab.judges.judge import Judge
from alignlab.objective.objective import Objective
from alignlab.online.pairs import Builder, whole
from alignlab.online.settings import OnlineSpec
from alignlab.online.ways import Way
from alignlab.policies.policy import Policy
from alignlab.sampling.generator import Generator
from alignlab.sampling.in_process import InProcess
from alignlab.signals import FRESH
from alignlab.training.settings import CheckpointSpec, GoldSpec, MovingSpec, ShownSpec, TrainerSpec
from alignlab.training.strategies.engine import Engine
from alignlab.types import Example

LoadModel = Callable[[], tuple[Any, Any]]
"""Gives (transformers model, tokenizer), anew at each call."""


def on_gpu(accelerator: str) -> bool:
    """Whether `trainer.accelerator` comes to a GPU on this machine."""
    return accelerator != "cpu" and torch.cuda.is_available()


@dataclass(frozen=True)
class ReferenceSpec:
    """Where reference log-probabilities come from.

    `is_start`: it is the very model that training starts from, so both score alike before the first step. `others`
    are the names and loaders of further references, for objectives that take more than one; with none, the
    first stands for one.
    """

    mode: str
    name: str
    load: LoadModel
    is_start: bool
    check_start: bool = True
    adapters_off: bool = False
    """Whether it is also the policy with its adapters switched off."""
    others: Sequence[tuple[str, LoadModel]] = ()
    shard: bool | None = None
    """Whether its layers are spread over the ranks; None: where the policy's are."""
    moving: MovingSpec = field(default_factory=MovingSpec)


@dataclass(frozen=True)
class Online:
    """How the lists of a stage are drawn from its policy, and who judges them."""

    spec: OnlineSpec
    make_judge: Callable[[], Judge | None]
    """Gives None where nobody judges samples."""
    builder: Builder = whole
    built: str = "whole"
    """The name of the builder, with its settings."""
    way: Way | None = None
    """A way of drawing lists that have labels of their own."""


@dataclass(frozen=True)
class Stage:
    """All choices of a stage, ready to be used."""

    objective: Objective
    data: DataSpec
    load_model: LoadModel
    make_policy: Callable[[Any], Policy]
    """Wraps a loaded model as what gives the signals of a batch; the policy and its references alike."""
    reference: ReferenceSpec
    make_optimizer: Callable[[nn.Module, int, int], tuple[torch.optim.Optimizer, Any]]
    """(all that is trained, steps, number of parameters over all ranks) to (optimizer, schedule)."""
    make_loggers: Callable[[], Sequence[Any]]
    trainer: TrainerSpec
    cache_dir: Path
    seed: int
    checkpoint: CheckpointSpec
    progress_every: int
    make_callbacks: Callable[[], Mapping[str, Any]] = dict
    """Callbacks of Lightning besides those of every stage, by name."""
    row_problems: Callable[[Iterable[Example]], Iterable[str]] = lambda rows: ()
    """Why the training rows cannot serve the policy, asked before a model is loaded."""
    on_rows: Callable[[Sequence[str]], None] | None = None
    """Told the ids of the rows (or of those that give the prompts) before anything is done with them; may raise."""
    on_input: Callable[[str, Mapping[str, str]], None] | None = None
    """Told the fingerprints of both splits, of "rows", of "data" before the pipeline, of "tokens"; may raise."""
    collect: Callable[..., Iterable[Example]] | None = None
    """Makes the rows to train on from the model and the prompts of the data."""
    make_generator: Callable[[Any, Sequence[int]], Generator] = InProcess
    """Gives what draws from a model, whose responses end with these tokens."""
    online: Online | None = None
    """How responses are drawn from the policy as it trains."""
    load_initial: LoadModel | None = None
    """The model that the run began with, where this stage begins with another; steps of the pipeline go by it."""
    gold: GoldSpec | None = None
    """How samples are drawn and scored, where there is a reward."""
    shown: ShownSpec | None = None
    """How samples are drawn to be read, where there is none."""
    engine: Engine = field(default_factory=Engine)
    """How it trains on one device or several ranks."""
    users: frozenset[str] | None = None
    """The users that the policy knows, whom alone its rows may be of; None where the policy reads no users."""
    step_log: Path | None = None
    """Where every step is written down for measuring from outside, if at all."""

    @property
    def draws_lists(self) -> bool:
        """Whether it trains on lists that its policy draws, for which the rows of the data give the prompts alone."""
        return self.online is not None and self.online.spec.lists == "drawn"

    @property
    def draws_samples(self) -> bool:
        """Whether its objective takes samples of the policy beside each list."""
        return bool(self.objective.signals & FRESH)


@dataclass(frozen=True)
class Result:
    """What a stage came to. Metrics are named as in metrics.csv."""

    status: str
    """finished | interrupted"""
    steps: int
    policy: Policy
    """The trained policy in one piece, on the first rank."""
    tokenizer: Any
    initial: Mapping[str, float]
    final: Mapping[str, float]
    best: Mapping[str, float]
    timings: Mapping[str, float]
    """Seconds."""
    tokens_per_second: float
    facts: Mapping[str, Any] = field(default_factory=dict)
    reference_margin: float | None = None
    """Mean over the training rows of log ref(best) - log ref(worst), in nats, where the reference was precomputed."""
    samples: Sequence[Mapping[str, Any]] = ()
    stopped_by: int | None = None
    """The signal that ended it early."""

    @property
    def model(self) -> Any:
        """The transformers model inside the policy."""
        return self.policy.model
