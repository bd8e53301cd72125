"""Steps of the pipeline that go by tokens: by lengths, or by what the initial model makes of the rows."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from alignlab.console import tracked
from alignlab.data.batching.batches import require_rows
from alignlab.data.encoding.token_rows import Array, TokenRows
from alignlab.data.load import LIMIT, Examples
from alignlab.data.makers import tell_kept
from alignlab.data.reading.examples import Report
from alignlab.data.spec import SPLITS, DataSpec
from alignlab.data.steps import Selection, Step, Tokenized, for_split, signal_of
from alignlab.data.tables.table import Subset
from alignlab.data.transforms.limit import kept
from alignlab.errors import DataError
from alignlab.own_code import named
from alignlab.passes.hidden_products import cached_products
from alignlab.passes.prompt_classifier import cached_probabilities
from alignlab.passes.reference import cached_signals
from alignlab.policies.causal_lm.decoder import has_adapter
from alignlab.policies.causal_lm.model import language_model
from alignlab.policies.policy import Policy
from alignlab.training.placing import Place
from alignlab.training.references import frozen
from alignlab.training.rows import Splits
from alignlab.training.spec import Stage

log = logging.getLogger(__name__)

STEP = "a step of the pipeline (as recipe=stepwise has one, unless recipe.by=equal)"
"""Who wants a language model, for messages."""


def selected(
    stage: Stage,
    policy: Policy,
    splits: Splits,
    examples: Examples,
    on: Place,
    tokenizer: Any,
) -> tuple[Splits, bool]:
    """The rows that the pipeline's steps on tokens leave, in their order, and whether that order matters.

    Steps that go by scores see those of the model that the run begins with.
    """
    if not examples.token_steps:
        return splits, False

    @cache
    def initial() -> Policy:
        load, start = stage.load_initial or stage.load_model, stage.reference
        if stage.load_initial is None and has_adapter(policy.model) and start.is_start:
            load = start.load  # adapters start at random, and are no part of it
        elif stage.load_initial is None and not stage.engine.shards:
            return policy
        return frozen(stage, load, on, tokenizer)

    left = {split: getattr(splits, split) for split in SPLITS}
    ordered = False
    for name, step in _wanted(stage, examples.token_steps).items():
        before, training = left, _tokenized(stage, initial, left["train"], left["train"])
        left = {}
        for split, rows in before.items():
            own = training
            if split != "train":
                own = replace(_tokenized(stage, initial, rows, before["train"]), training=training)
            chosen = _selection(name, for_split(step, split), own)
            left[split] = _taken(rows, chosen, name, examples.report)
            ordered = ordered or chosen.ordered
    left = {split: _limited(stage.data, split, rows, examples) for split, rows in left.items()}
    for split, rows in left.items():
        require_rows(rows, split)
    return replace(splits, train=left["train"], validation=left["validation"]), ordered


def _wanted(stage: Stage, steps: Mapping[str, Step]) -> dict[str, Step]:
    """The steps without those whose signal the objective does not take; the log tells which."""
    wanted = {}
    for name, step in steps.items():
        if (signal := signal_of(step)) and signal not in stage.objective.signals:
            log.warning(
                "pipeline step '%s' is left out, for objective '%s' does not take its %s",
                name,
                stage.objective.name,
                signal,
            )
            continue
        wanted[name] = step
    return wanted


def _selection(name: str, step: Step, tokenized: Tokenized) -> Selection:
    """What a step on tokens selects; DataError where it returns something else."""
    what = f"pipeline step '{name}'"
    with named(what, step):
        selection = step(tokenized)
    if not isinstance(selection, Selection):
        raise DataError(f"{what} returned {type(selection).__name__}: a step on tokens returns a Selection")
    return selection


def _tokenized(
    stage: Stage, initial: Callable[[], Policy], rows: TokenRows, training: TokenRows
) -> Tokenized:
    def score() -> list[Any]:
        with tracked("log-probabilities of the initial model", len(rows)) as advance:
            policy = language_model(initial(), STEP)
            scores = cached_signals(policy, rows, ["ref_logps"], cache_dir=stage.cache_dir, track=advance)
        return [scores["ref_logps"][rows.members[i]] for i in range(len(rows))]

    def multiply() -> list[Any]:
        with tracked("hidden states of the initial model", len(rows)) as advance:
            policy = language_model(initial(), STEP)
            return cached_products(policy, rows, cache_dir=stage.cache_dir, track=advance)

    def classify(places: Array, desirable: Array) -> Array:
        with tracked("states of prompts under the initial model", len(places) + len(rows)) as advance:
            policy = language_model(initial(), STEP)
            sample = training.take(places)
            return cached_probabilities(
                policy, rows, sample, desirable, cache_dir=stage.cache_dir, track=advance
            )

    examples = Subset(rows.examples, rows.places)
    lengths = [rows.responses.lengths[rows.members[i]] for i in range(len(rows))]
    return Tokenized(examples, rows.prompts.lengths, lengths, score, multiply, classify)


def _limited(data: DataSpec, split: str, rows: TokenRows, examples: Examples) -> TokenRows:
    """The rows of a split that its limit keeps, in their order."""
    places = kept(rows.ids, data.last_limit_of(split), **data.limit_options)
    if len(places) == len(rows):
        return rows
    less = _taken(rows, Selection(places), LIMIT, examples.report)
    tell_kept(LIMIT, examples.trails[split], rows.ids, less.ids, examples.report)
    return less


def _taken(rows: TokenRows, chosen: Selection, name: str, report: Report) -> TokenRows:
    report.count(name, "in", len(rows))
    report.count(name, "out", len(chosen.keep))
    for number, reason in chosen.dropped.items():
        report.drop(name, reason, rows.ids[number])
    if chosen.signals:
        rows = rows.with_cached({key: _flat(rows, values) for key, values in chosen.signals.items()})
    return rows.take(chosen.keep)


def _flat(rows: TokenRows, values: Sequence[Array]) -> Array:
    """The values of each row's responses, in the order of all responses."""
    flat = np.empty(len(rows.responses))
    for index, own in enumerate(values):
        flat[rows.members[index]] = own
    return flat
