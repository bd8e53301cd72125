"""Steps of the pipeline that go by tokens: by lengths, or by what the initial model makes of the rows."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

from alignlab.console import tracked
from alignlab.data.batching.batches import require_rows
from alignlab.data.encoding.token_rows import TokenRows
from alignlab.data.load import Examples
from alignlab.data.reading.examples import Report
from alignlab.data.spec import SPLITS
from alignlab.data.steps import Selection, Step, Tokenized, for_split
from alignlab.data.tables.table import Subset
from alignlab.errors import DataError
from alignlab.own_code import named
from alignlab.passes.hidden_products import cached_products
from alignlab.passes.reference import cached_signals
from alignlab.policies.causal_lm.decoder import has_adapter
from alignlab.policies.causal_lm.model import language_model
from alignlab.policies.policy import Policy
from alignlab.training.placing import Place
from alignlab.training.references import frozen
from alignlab.training.rows import Splits
from alignlab.training.spec import Stage


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

    left, ordered = {}, False
    for split in SPLITS:
        rows = getattr(splits, split)
        for name, step in examples.token_steps.items():
            chosen = _selection(name, for_split(step, split), _tokenized(stage, initial, rows))
            rows, ordered = _taken(rows, chosen, name, examples.report), ordered or chosen.ordered
        most = stage.data.limit_of(split)
        if most is not None and most < len(rows):
            rows = _taken(rows, Selection(range(most)), "limit", examples.report)
        require_rows(rows, split)
        left[split] = rows
    return replace(splits, **left), ordered


def _selection(name: str, step: Step, tokenized: Tokenized) -> Selection:
    """What a step on tokens selects; DataError where it returns something else."""
    what = f"pipeline step '{name}'"
    with named(what, step):
        selection = step(tokenized)
    if not isinstance(selection, Selection):
        raise DataError(f"{what} returned {type(selection).__name__}: a step on tokens returns a Selection")
    return selection


def _tokenized(stage: Stage, initial: Callable[[], Policy], rows: TokenRows) -> Tokenized:
    def score() -> list[Any]:
        with tracked("log-probabilities of the initial model", len(rows)) as advance:
            scores = cached_signals(initial(), rows, ["ref_logps"], cache_dir=stage.cache_dir, track=advance)
        return [scores["ref_logps"][rows.members[i]] for i in range(len(rows))]

    def multiply() -> list[Any]:
        with tracked("hidden states of the initial model", len(rows)) as advance:
            policy = language_model(initial(), "a step of the pipeline")
            return cached_products(policy, rows, cache_dir=stage.cache_dir, track=advance)

    lengths = [rows.responses.lengths[rows.members[i]] for i in range(len(rows))]
    return Tokenized(Subset(rows.examples, rows.places), rows.prompts.lengths, lengths, score, multiply)


def _taken(rows: TokenRows, chosen: Selection, name: str, report: Report) -> TokenRows:
    report.count(name, "in", len(rows))
    report.count(name, "out", len(chosen.keep))
    for number, reason in chosen.dropped.items():
        report.drop(name, reason, rows.ids[number])
    return rows.take(chosen.keep)
