"""The one place where a stage is opened, in steps that can be taken one by one.

    read(stage)          its rows as text
    load(stage, rows)    its policy, tokenizer and encoder, and the rows as tokens
    place(opened, on)    the policy on its device, and the rows that the pipeline's steps on tokens leave
    prepare(opened)      the loader of its optimizer steps, and the scores of its references, or these themselves

`open_rows` takes the first three at once. Training takes all four; an inspection, or a score, needs no references.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

import numpy as np
import torch

from alignlab import ranks
from alignlab.data.batching.batches import StepLoader
from alignlab.data.encoding.token_rows import TokenRows
from alignlab.data.encoding.tokenize import Encoder
from alignlab.data.load import Examples, load_examples
from alignlab.data.reading.examples import Report
from alignlab.data.spec import DataSpec
from alignlab.data.transforms.limit import kept
from alignlab.policies.causal_lm.chat_format import stop_ids
from alignlab.policies.policy import Policy, References
from alignlab.signals import trailing_sizes
from alignlab.training.drawn_validation import as_if_drawn
from alignlab.training.placing import CPU, Place
from alignlab.training.references import attach_reference
from alignlab.training.rows import Splits, check_users, extras_for, tasks_of, tokenize, with_rationales
from alignlab.training.spec import Stage, on_gpu
from alignlab.training.token_steps import selected
from alignlab.types import Message

log = logging.getLogger(__name__)


class Clock:
    """Seconds that each named part of the work took, added up."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Count the time inside as that of `name`."""
        began = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - began


@dataclass(frozen=True)
class Opened:
    """A stage with its rows as tokens, and the models that read them."""

    stage: Stage
    examples: Examples
    model: Any
    """The transformers model inside the policy."""
    tokenizer: Any
    policy: Policy
    encoder: Encoder
    splits: Splits
    place: Place = CPU
    ordered: bool = False
    """Whether a step of the pipeline put the rows in an order that matters."""
    clock: Clock = field(default_factory=Clock)

    @property
    def report(self) -> Report:
        """The account of all rows: in, out and dropped, by step."""
        return self.examples.report


@dataclass(frozen=True)
class Prepared:
    """An opened stage that is ready to be trained or evaluated."""

    opened: Opened
    """Its rows carry the scores of references that were computed before."""
    loader: StepLoader
    """The optimizer steps over the training rows."""
    mode: str
    """Where the scores of the reference come from: precomputed | live | adapter | none."""
    references: References
    """Live references, the first and the others."""
    whole: TokenRows
    """The validation rows, also those beyond what the run affords (`affordable`)."""

    def prompts(self, count: int) -> list[list[Message]]:
        """The prompts that samples are drawn for: as many as asked for, and no more than the run validates on."""
        return first_prompts(self.whole, min(count, len(self.opened.splits.validation)))

    @property
    def validation(self) -> StepLoader:
        """Steps over the validation rows, in stored order."""
        return self.loader.over(self.opened.splits.validation, steps=None, shuffle=False)


def open_rows(stage: Stage, on: Place = CPU) -> Opened:
    """A stage with its policy and its rows after the whole pipeline, as tokens; the first three steps at once.

    Raises DataError where the rows cannot be read, or none are left.
    """
    return place(load(stage, read(stage)), on)


def one_device(stage: Stage) -> Place:
    """The device of this machine that `trainer.accelerator` comes to, in the models' own precision."""
    return Place(torch.device("cuda" if on_gpu(stage.trainer.accelerator) else "cpu"))


def read(stage: Stage, clock: Clock | None = None, *, ties: bool = False) -> Examples:
    """The rows of a stage as text, after the steps of its pipeline that go by text.

    `ties` keeps the lists in which no response is better.

    Raises DataError for bad rows, missing files, an unreachable hub, or where nothing is left.
    """
    with (clock or Clock()).timed("data"):
        return load_examples(with_rationales(stage.data, stage.objective), stage.cache_dir, ties=ties)


def load(stage: Stage, examples: Examples, clock: Clock | None = None) -> Opened:
    """The policy of a stage on the CPU, its tokenizer and encoder, and these rows as tokens."""
    clock = clock or Clock()
    check_users(stage.users, chain(examples.train, examples.validation))
    with clock.timed("model"), ranks.main_first():
        model, tokenizer = stage.load_model()
        policy = stage.make_policy(model)
        encoder = Encoder(tokenizer, stop_ids(model), stage.data.special_tokens)
    with clock.timed("tokenize"):
        splits = tokenize(stage, examples, encoder, model)
    return Opened(stage, examples, model, tokenizer, policy, encoder, splits, clock=clock)


def place(opened: Opened, on: Place) -> Opened:
    """The policy brought to its place, and the rows that the pipeline's steps on tokens leave."""
    on.convert(opened.policy)
    if not on.spreads:
        opened.policy.to(on.device)
    with opened.clock.timed("reference"), on.autocast():
        splits, ordered = selected(
            opened.stage, opened.policy, opened.splits, opened.examples, on, opened.tokenizer
        )
    return replace(opened, splits=splits, ordered=ordered, place=on)


def prepare(opened: Opened, *, epochs: int = 1, steps: int | None = None) -> Prepared:
    """The loader of `steps` optimizer steps (None: `epochs` times all rows), and references for all rows it visits.

    Validation keeps no more lists than the steps hold, so that a short run stays short. Raises ConfigError where the
    reference cannot serve the objective.
    """
    stage, splits, on = opened.stage, opened.splits, opened.place
    loader = one_epoch(opened)
    tasks = len(loader.extras.tasks)
    stage.objective.bind({**trailing_sizes(opened.policy.sizes), **({"tasks": (tasks,)} if tasks else {})})
    updates = stage.online.spec.updates if stage.online else 1
    loader = loader.over(loader.rows, steps=steps or epochs * loader.steps * updates)
    if stage.draws_lists:
        splits = replace(splits, validation=as_if_drawn(splits.validation, stage.objective, opened.policy))
    whole = splits.validation
    splits = replace(splits, validation=affordable(whole, loader, stage.data))
    with opened.clock.timed("reference"), on.autocast():
        mode, references, splits = attach_reference(
            stage, opened.policy, splits, loader, on, opened.tokenizer
        )
    return Prepared(replace(opened, splits=splits), loader.over(splits.train), mode, references, whole)


def one_epoch(opened: Opened) -> StepLoader:
    """One pass over the training rows, shuffled unless the pipeline or the config says otherwise."""
    stage, data, ordered = opened.stage, opened.stage.data, opened.ordered
    if ordered and data.shuffle is True:
        log.warning("data.shuffle=true undoes the order that the pipeline gives")
    return StepLoader(
        opened.splits.train,
        lists_per_step=data.lists_per_step,
        microbatch_tokens=data.microbatch_tokens,
        shuffle=not ordered if data.shuffle == "auto" else data.shuffle,
        seed=stage.seed if data.shuffle_seed is None else data.shuffle_seed,
        packed=opened.policy.packed,
        extras=extras_for(
            stage.objective,
            data,
            opened.tokenizer,
            opened.model,
            users=opened.policy.reads_users,
            attributes=opened.policy.attributes,
            tasks=tasks_of(stage.objective, opened.splits),
        ),
        rank=ranks.rank(),
        world=ranks.world(),
    )


def affordable(validation: TokenRows, loader: StepLoader, data: DataSpec) -> TokenRows:
    """Validation rows of a run: no more lists than it trains on, chosen as a limit does."""
    most = loader.steps * loader.lists_per_step
    return validation.take(kept(validation.ids, most, **data.limit_options))


def first_prompts(rows: TokenRows, count: int) -> list[list[Message]]:
    """The prompts of the first `count` rows as they stand before an order that the pipeline gives them."""
    return [rows.messages(i) for i in first(rows, count)]


def first(rows: TokenRows, count: int) -> list[int]:
    """The numbers of the first `count` rows as they stand before an order that the pipeline gives them."""
    return [int(i) for i in np.argsort(rows.places, kind="stable")[:count]]
