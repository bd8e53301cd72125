"""The rows that a stage trains on: what its objective needs of them, and their tokens."""

import hashlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from alignlab.console import tracked
from alignlab.data.batching.batches import Extras, StepLoader, require_rows
from alignlab.data.encoding.drawn import lacking, not_carried, with_drawn
from alignlab.data.encoding.prepare import require_vocabulary, tokenized
from alignlab.data.encoding.token_rows import TokenRows
from alignlab.data.encoding.tokenize import Encoder, Limits
from alignlab.data.label_scale import WAYS
from alignlab.data.load import Examples
from alignlab.data.spec import DataSpec
from alignlab.data.steps import text_and_token_steps
from alignlab.data.transforms.rationale import rationale
from alignlab.errors import DataError
from alignlab.labels import desirable
from alignlab.objective.objective import Objective
from alignlab.signals import BASE
from alignlab.training.spec import Stage
from alignlab.types import Example

log = logging.getLogger(__name__)

MANY_TIES = 0.25
"""The share of lists from which on equal labels are worth a line in the log."""


@dataclass(frozen=True)
class Splits:
    """Tokenized rows of both splits, and the fingerprint of each."""

    train: TokenRows
    validation: TokenRows
    fingerprints: dict[str, str]


def check_lists(objective: Objective, examples: Examples, spec: DataSpec, *, drawn: bool = False) -> None:
    """DataError where the rows cannot serve the objective; `drawn`: training takes their prompts alone."""
    largest = 0 if drawn else examples.largest()
    if drawn:
        examples = replace(examples, train=examples.validation)
    elif largest < 2 and objective.data_form != "single":
        raise DataError(more_wanted(objective.name, spec.name))
    if objective.data_form == "lists" and largest == 2 and spec.form != "lists":
        raise DataError(lists_wanted(objective.name, spec.name))
    if not drawn and "rewards" in objective.signals and not examples.train.rated:
        raise DataError(
            f"objective '{objective.name}' takes the raw scores of the responses, and data '{spec.name}' has rows "
            "without: use data with scores (data=ultrafeedback)"
        )
    if not drawn and (absent := lacking(examples.train[0], objective.signals)):
        raise DataError(
            f"objective '{objective.name}' takes {', '.join(absent)}. First row of data '{spec.name}': "
            f"{not_carried(absent)}"
        )
    check_labels(objective, examples, spec)


def check_policy(stage: Stage, examples: Examples) -> None:
    """DataError where the training rows cannot serve the policy."""
    if problems := list(stage.row_problems(examples.train)):
        raise DataError("\n".join(problems))
    if stage.trainer.meta_rate and all(row.weight for row in examples.train):
        raise DataError(
            "trainer.meta_rate has a reward model tell apart lists of weight 0, and all training rows count: use "
            "pipeline=[unlabelled_samples] on rows with meta.samples, or rows with weight 0"
        )


def check_users(users: frozenset[str] | None, examples: Iterable[Example]) -> None:
    """DataError where a row is of a user whom the policy does not know, or of none; None is a policy without users."""
    if users is None:
        return
    for example in examples:
        name = example.meta.get("user")
        if not name:
            raise DataError(
                f"row {example.id} names no user, whose preferences a user model learns: use data with users "
                "(meta.user of data=local, data.source.users of data=lab)"
            )
        if str(name) not in users:
            raise DataError(
                f"row {example.id} is of user '{name}', whom the model does not know ({', '.join(sorted(users))}): "
                "name it in policy.users, or fit it to a trained model with policy.fit=user"
            )


def check_labels(objective: Objective, examples: Examples, spec: DataSpec) -> None:
    """DataError where the objective takes labels between 0 and 1, and those of the rows are beyond; see `data.scale`.

    What a run should know of its labels goes to the log: lists that teach a comparing objective nothing, ties, and
    how many responses are desirable.
    """
    for rows in (examples.train, examples.validation):
        labels, sizes = rows.labels, rows.sizes
        if objective.labels == "desirable":
            labels = labels[np.repeat(sizes == 1, sizes)]
        beyond = len(labels) > 0 and (labels.min() < 0 or labels.max() > 1)
        if objective.labels in ("unit", "desirable") and beyond and not spec.rescaled:
            of = " of lone responses" if objective.labels == "desirable" else ""
            raise DataError(
                f"objective '{objective.name}' takes labels{of} between 0 and 1, and those of data '{spec.name}' run "
                f"from {labels.min():g} to {labels.max():g}: {WAYS}"
            )
    labels, sizes = examples.train.labels, examples.train.sizes
    if objective.labels == "desirable":
        _tell_desirable(labels, sizes)
    elif objective.data_form != "single":
        if lone := int((sizes == 1).sum()):
            log.warning(
                "%d of %d training lists have one response, and teach '%s', which compares, nothing",
                lone,
                len(sizes),
                objective.name,
            )
        if (tied := _tied(labels, sizes)) >= MANY_TIES * len(sizes):
            log.info("%d of %d training lists have responses with equal labels", tied, len(sizes))


def _tied(labels: NDArray[Any], sizes: NDArray[Any]) -> int:
    """The number of lists in which two or more labels are equal."""
    lists = np.repeat(np.arange(len(sizes)), sizes)
    order = np.lexsort((labels, lists))
    same = (np.diff(lists[order]) == 0) & (np.diff(labels[order]) == 0)
    return len(np.unique(lists[order][1:][same]))


def _tell_desirable(labels: NDArray[Any], sizes: NDArray[Any]) -> None:
    """Log how many of the responses are desirable; a warning where they are all alike."""
    where_BK = torch.arange(int(sizes.max())) < torch.from_numpy(sizes)[:, None]
    labels_BK = torch.zeros(where_BK.shape, dtype=torch.float64)
    labels_BK[where_BK] = torch.from_numpy(labels.copy())
    good = int(desirable(labels_BK, where_BK).sum())
    level = logging.INFO if 0 < good < len(labels) else logging.WARNING
    log.log(level, "%d training responses are desirable, %d are not", good, len(labels) - good)


def with_rationales(data: DataSpec, objective: Objective) -> DataSpec:
    """The data with its rationales made into prompts and answers, where the objective wants them."""
    if not any(BASE[name].rows == "rationale" for name in objective.signals) or "rationale" in data.steps:
        return data
    text, tokens = text_and_token_steps(data.steps)
    return replace(data, steps={**text, "rationale": rationale, **tokens})


def more_wanted(objective: str, data: str) -> str:
    """The message for an objective that compares, on single responses."""
    return (
        f"objective '{objective}' compares responses, and data '{data}' has one response a row: "
        "use data with at least 2 responses a prompt, or an objective for single responses (objective=kto)"
    )


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
    limits = limits_within(stage.data, context_of(model) or stage.data.max_length)
    tokens, keys = {}, {}
    for split in ("train", "validation"):
        rows = getattr(examples, split)
        with tracked(f"tokenizing {split}", len(rows)) as advance:
            tokens[split], keys[split] = tokenized(
                rows,
                encoder,
                limits,
                stage.cache_dir,
                examples.report,
                advance,
                skip_bad=stage.data.on_bad_row == "skip",
            )
    for split, rows in tokens.items():
        require_rows(rows, split)
        require_vocabulary(rows, model.get_input_embeddings().weight.shape[0])
        if not stage.draws_lists:
            tokens[split] = with_drawn(rows, stage.objective.signals)
    return Splits(tokens["train"], tokens["validation"], keys)


def extras_for(
    objective: Objective,
    data: DataSpec,
    tokenizer: Any,
    model: Any,
    *,
    users: bool = False,
    attributes: tuple[str, ...] = (),
    tasks: tuple[str, ...] = (),
) -> Extras:
    """What the batches of this objective carry beside their lists, and what the policy reads: users, attributes.

    `tasks` are the sources of the data, where lists are to come with the number of theirs.
    """
    rows = {BASE[name].rows for name in objective.signals}
    ends = step_ends(tokenizer, model, data.step_delimiter) if "steps" in rows else None
    return Extras(
        mismatched="mismatched" in rows,
        rationale="rationale" in rows,
        step_ends=ends,
        users=users,
        attributes=attributes,
        tasks=tasks,
        wins="wins" in objective.signals,
        max_length=min(data.max_length, context_of(model) or data.max_length),
    )


def step_ends(tokenizer: Any, model: Any, delimiter: str) -> NDArray[Any]:
    """Whether each token of the model's vocabulary holds the text that ends a step, `[vocabulary]`."""
    size = model.get_input_embeddings().weight.shape[0]
    pieces = tokenizer.batch_decode([[i] for i in range(min(size, len(tokenizer)))])
    ends = np.zeros(size, dtype=bool)
    ends[: len(pieces)] = [delimiter in piece for piece in pieces]
    return ends


def tasks_of(objective: Objective, splits: Splits) -> tuple[str, ...]:
    """The sources of the rows, which are the tasks of an objective that weighs them; empty for others."""
    if "tasks" not in objective.signals:
        return ()
    rows = [splits.train, splits.validation]
    names = tuple(sorted({part.source(i) for part in rows for i in range(len(part))}))
    if len(names) == 1:
        log.warning(
            "objective '%s' weighs sources against each other, and all rows are of one", objective.name
        )
    return names


def context_of(model: Any) -> int | None:
    """The longest sequence of the model, where it has one."""
    longest: int | None = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    return longest


def content_of(rows: TokenRows) -> str:
    """The SHA-256 of what training reads of the rows, in their order: tokens, labels, raw scores, weights, and
    what a sampler told."""
    digest = hashlib.sha256(rows.tokens_hash.encode())
    rewards = [rows.rewards.values] if rows.rewards else []
    drawn = [rows.drawn[name].values for name in sorted(rows.drawn)]
    for values in (rows.labels.values, rows.weights, *rewards, *drawn):
        digest.update(np.ascontiguousarray(values).data)
    return digest.hexdigest()


def first_ids(loader: StepLoader, count: int = 64) -> str:
    """SHA-256 over the ids of the first rows in training order: equal hashes, equal order."""
    ids: list[str] = []
    for step in range(loader.steps):
        ids += [loader.rows.ids[i] for i in loader.indices(step)]
        if len(ids) >= count:
            break
    return hashlib.sha256("\n".join(ids[:count]).encode()).hexdigest()
