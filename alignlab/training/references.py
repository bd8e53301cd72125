"""The reference of a stage: its scores for the rows, or the model itself."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from alignlab import ranks
from alignlab.console import tracked
from alignlab.data.batching.batches import StepLoader
from alignlab.data.encoding.token_rows import TokenRows
from alignlab.passes.reference import cached_signals
from alignlab.passes.reference_mode import resolve_mode
from alignlab.policies.causal_lm.decoder import has_adapter
from alignlab.policies.causal_lm.distributions import over_vocabulary
from alignlab.policies.causal_lm.model import language_model
from alignlab.policies.causal_lm.vocabularies import require_same_tokens, require_same_width
from alignlab.policies.causal_lm.without_adapter import WithoutAdapter
from alignlab.policies.policy import NO_REFERENCES, Policy, References
from alignlab.signals import REFERENCE, provided_by
from alignlab.training.placing import Place
from alignlab.training.rows import Splits
from alignlab.training.spec import LoadModel, Stage
from alignlab.training.strategies.frozen import shard_frozen

log = logging.getLogger(__name__)


def frozen(stage: Stage, load: LoadModel, on: Place, tokenizer: Any) -> Policy:
    """A policy that only scores, in the precision and on the device of the place.

    It is spread over the ranks as the config says, or as the trained one is.

    Raises ConfigError where it reads other token ids than those of this `tokenizer`, which wrote the rows.
    """
    with ranks.main_first():
        loaded, own_tokenizer = load()
        require_same_tokens(tokenizer, own_tokenizer, loaded.name_or_path)
        model = stage.make_policy(loaded).eval().requires_grad_(False)
        on.convert(model)
    shard = stage.engine.shards if stage.reference.shard is None else stage.reference.shard
    return shard_frozen(model, on.device) if shard and ranks.world() > 1 else model.to(on.device)


def attach_reference(
    stage: Stage, policy: Policy, splits: Splits, loader: StepLoader, on: Place, tokenizer: Any
) -> tuple[str, References, Splits]:
    """(mode, live references if any, rows with cached scores if precomputed).

    `tokenizer` is the one that wrote the rows, whose ids a reference must share.

    Only rows that the loader will visit are scored; the others hold NaN, which no step reads.
    """
    spec, objective = stage.reference, stage.objective
    mode = resolve_mode(
        spec.mode,
        objective,
        adapter=spec.adapters_off,
        update=spec.moving.update,
        drawn=stage.online is not None,
        draws=stage.online is not None and stage.online.spec.by == "reference",
    )
    others = spec.others if objective.needs_other_references else ()
    log.info(
        "reference: %s", ", ".join([mode, *([] if mode == "none" else [spec.name]), *(o[0] for o in others)])
    )
    if objective.needs_other_references and not others:
        log.warning("both references are %s: set reference.others to another model, or several", spec.name)
    if spec.others and not objective.needs_other_references:
        log.warning(
            "reference.others is not used: objective '%s' takes one reference at most", objective.name
        )
    if mode == "none":
        return mode, NO_REFERENCES, splits
    if mode in ("live", "adapter"):
        first: Any = (
            WithoutAdapter(language_model(policy, "reference=adapter"))
            if mode == "adapter"
            else frozen(stage, spec.load, on, tokenizer)
        )
        if mode == "live" and over_vocabulary(objective.signals):
            require_same_width(policy.model, first.model, spec.name)
        further: list[Any] = [frozen(stage, load, on, tokenizer) for _, load in others]
        return mode, (first, tuple(further or [first] * objective.needs_other_references)), splits
    adapted = has_adapter(policy.model)  # adapters start at random, and are no part of the reference
    is_policy = spec.is_start and not adapted and not stage.engine.shards
    scorer = policy if is_policy else frozen(stage, spec.load, on, tokenizer)
    wanted = sorted({"ref_logps"} | provided_by(objective.signals, REFERENCE))
    splits = _scored(stage, scorer, splits, loader, wanted)
    if objective.needs_other_references:
        splits = _scored_by_others(stage, [other for _, other in others], splits, loader, on, tokenizer)
    return mode, NO_REFERENCES, splits


def _scored_by_others(
    stage: Stage,
    others: Sequence[LoadModel],
    splits: Splits,
    loader: StepLoader,
    on: Place,
    tokenizer: Any,
) -> Splits:
    """Both splits with the scores of all further references, one after another in memory; of the first, with none."""
    seen = [splits] if not others else []
    for load in others:
        other = frozen(stage, load, on, tokenizer)
        seen.append(_scored(stage, other, splits, loader, ["ref_logps"]))

    def joined(split: str) -> TokenRows:
        columns = [getattr(one, split).cached["ref_logps"] for one in seen]
        rows: TokenRows = getattr(splits, split)
        return rows.with_cached({"other_ref_logps": np.stack(columns, axis=1)})

    return replace(splits, train=joined("train"), validation=joined("validation"))


def _scored(stage: Stage, scorer: Policy, splits: Splits, loader: StepLoader, names: Sequence[str]) -> Splits:
    """Both splits with these scores of a reference."""

    def scored(rows: TokenRows, visited: Any, split: str) -> TokenRows:
        part, cached = rows.take(visited), {}
        with tracked(f"reference log-probabilities, {split}", len(part)) as advance:
            scores = cached_signals(
                scorer,
                part,
                names,
                cache_dir=stage.cache_dir,
                track=advance,
            )
        places = np.concatenate([rows.members[index] for index in visited])
        for name, values in scores.items():
            every = np.full(len(rows.responses), np.nan)
            every[places] = values
            cached[name] = every
        return rows.with_cached(cached)

    train = scored(splits.train, loader.visited(), "train")
    return replace(
        splits,
        train=train,
        validation=scored(splits.validation, np.arange(len(splits.validation)), "validation"),
    )


def reference_margin(rows: TokenRows) -> float | None:
    """Mean over the rows of log ref(best) - log ref(worst), nats; None where no scores came with the rows.

    The diagnostic of sDPO (arXiv:2403.19270): how far the reference itself prefers what it is to teach.
    """
    if "ref_logps" not in rows.cached:
        return None
    gaps = []
    for i in range(len(rows)):
        scores, labels = rows.cached["ref_logps"][rows.members[i]], rows.labels[i]
        gaps.append(scores[np.argmax(labels)] - scores[np.argmin(labels)])
    return float(np.nanmean(gaps))
