"""The rows a stage trains on: loaded, tokenized, and with their reference log-probabilities."""

import hashlib
import logging
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from alignlab.console import tracked
from alignlab.data.batches import StepLoader, require_rows
from alignlab.data.load import DataSpec, Examples
from alignlab.data.prepare import tokenized
from alignlab.data.token_rows import TokenRows
from alignlab.data.tokenize import Encoder, Limits
from alignlab.errors import DataError
from alignlab.objectives.objective import Objective
from alignlab.policies.causal_lm import CausalLM
from alignlab.policies.reference import cached_logps, resolve_mode
from alignlab.training.spec import Stage

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Splits:
    """Tokenized rows of both splits, and the fingerprint of each."""

    train: TokenRows
    validation: TokenRows
    fingerprints: dict[str, str]


def check_lists(objective: Objective, examples: Examples, spec: DataSpec) -> None:
    """DataError where the rows cannot serve the objective."""
    largest = examples.largest()
    if largest < 2:
        raise DataError(
            f"objective '{objective.name}' compares responses, and data '{spec.name}' has one response a row: "
            "use data with at least 2 responses a prompt"
        )
    if not objective.is_pairwise and largest == 2 and spec.form != "lists":
        raise DataError(lists_wanted(objective.name, spec.name))


def lists_wanted(objective: str, data: str) -> str:
    """The message for a listwise objective on pairs."""
    return (
        f"objective '{objective}' needs lists of at least 2 rated responses; data '{data}' gives pairs: use a pairwise "
        "objective (objective=dpo), or data with rated lists (data=ultrafeedback)"
    )


def limits_within(data: DataSpec, context: int) -> Limits:
    """The data's limits, lowered where the model's context cannot hold them; prompts then get half of it."""
    longest, most = min(data.max_length, context), data.max_prompt_length
    if most is not None and most >= longest:
        most = longest // 2
        log.info("prompts are cut to their last %d tokens, half of the %d there is room for", most, longest)
    return Limits(longest, most, data.min_response_length)


def tokenize(stage: Stage, examples: Examples, encoder: Encoder, model: Any) -> Splits:
    """Both splits as tokens within the limits; DataError where nothing fits."""
    context = (
        getattr(model.config.get_text_config(), "max_position_embeddings", None) or stage.data.max_length
    )
    limits = limits_within(stage.data, context)
    made, keys = {}, {}
    for split in ("train", "validation"):
        rows = getattr(examples, split)
        with tracked(f"tokenizing {split}", len(rows)) as advance:
            made[split], keys[split] = tokenized(
                rows, encoder, limits, stage.cache_dir, examples.report, advance
            )
    for line in examples.report.lines():
        log.info("%s", line)
    for split, rows in made.items():
        require_rows(rows, split)
    return Splits(made["train"], made["validation"], keys)


def affordable(validation: TokenRows, loader: StepLoader) -> TokenRows:
    """Validation rows of a run: no more lists than it trains on, so that a short run stays short."""
    most = loader.steps * loader.lists_per_step
    return validation if len(validation) <= most else validation.take(range(most))


def attach_reference(
    stage: Stage, policy: CausalLM, splits: Splits, loader: StepLoader
) -> tuple[str, CausalLM | None, Splits]:
    """(mode, live reference if any, rows with cached log-probabilities if precomputed).

    Only rows that the loader will visit are scored; the others hold NaN, which no step reads.
    """
    spec = stage.reference
    mode = resolve_mode(spec.mode, stage.objective)
    log.info("reference: %s%s", mode, "" if mode == "none" else f", {spec.name}")
    if mode == "none":
        return mode, None, splits
    if mode == "live":
        return mode, CausalLM(spec.load()[0]).eval(), splits
    device = next(policy.parameters()).device
    scorer = policy if spec.is_start else CausalLM(spec.load()[0]).to(device)

    def scored(rows: TokenRows, visited: Any, split: str) -> TokenRows:
        part = rows.take(visited)
        with tracked(f"reference log-probabilities, {split}", len(part)) as advance:
            logps = cached_logps(
                scorer, part, cache_dir=stage.cache_dir, budget=stage.data.microbatch_tokens, track=advance
            )
        every = np.full(len(rows.responses), np.nan)
        every[np.concatenate([rows.members[index] for index in visited])] = logps
        return rows.with_reference(every)

    train = scored(splits.train, loader.visited(), "train")
    validation = scored(splits.validation, np.arange(len(splits.validation)), "validation")
    return mode, None, replace(splits, train=train, validation=validation)


def first_ids(loader: StepLoader, count: int = 64) -> str:
    """SHA-256 over the ids of the first rows in training order: equal hashes, equal order."""
    ids: list[str] = []
    for step in range(loader.steps):
        ids += [loader.rows.ids[i] for i in loader.indices(step)]
        if len(ids) >= count:
            break
    return hashlib.sha256("\n".join(ids[:count]).encode()).hexdigest()
