"""Tokenizes examples, and stores the rows on disk under the hash of all that decides them."""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from alignlab.cache import entry
from alignlab.data.encoding.rendering import Refusal
from alignlab.data.encoding.token_index import Row, Writer, open_rows
from alignlab.data.encoding.token_rows import TokenRows
from alignlab.data.encoding.tokenize import Encoder, Limits, Tokens, Unfit, refused, truncate
from alignlab.data.reading.examples import Report
from alignlab.data.reading.rows import Drop
from alignlab.data.tables.table import chunks
from alignlab.errors import DataError
from alignlab.types import Example

VERSION = "5"
"""A part of every fingerprint: raise it when tokenizing changes its output."""

CHUNK = 256
"""The number of rows that are encoded at once."""
DROPS, NOTES = "dropped.json", "notes.json"
Track = Callable[[int], None]
"""A function that is told each number of rows done."""


def tokenized(
    examples: Sequence[Example],
    encoder: Encoder,
    limits: Limits,
    cache_dir: Path,
    report: Report,
    track: Track = lambda _: None,
    *,
    skip_bad: bool = False,
) -> tuple[TokenRows, str]:
    """The tokenized rows, cut to the limits, and their fingerprint; rows that do not fit go to the report.

    Their folder appears whole or not at all; jobs that want the same rows wait for the first. `track` is called
    with the number of rows of each chunk. Raises DataError for a row that the chat template cannot serve, which goes
    to the report with `skip_bad`, unless none is left. What the encoder told of these rows when they were stored is
    told again.
    """
    key = fingerprint(examples, encoder, limits)
    folder = entry(
        cache_dir / "tokens" / key,
        lambda partial: _build(partial, examples, encoder, limits, track, skip_bad),
    )
    rows = open_rows(folder, examples)
    report.count("tokenize", "in", len(examples))
    report.count("tokenize", "out", len(rows))
    encoder.notes.repeat(_read(folder / NOTES))
    for drop in _read(folder / DROPS):
        if "refused" in drop and not (skip_bad and len(rows)):
            raise refused(drop["id"], drop["refused"])
        report.drop("tokenize", drop["reason"], drop["id"])
    return rows, key


def require_vocabulary(rows: TokenRows, size: int) -> None:
    """Raise DataError where a token id is beyond the `size` embeddings of the model."""
    largest = int(rows.highest.max(initial=-1))
    if largest < size:
        return
    row = int(np.argmax(rows.highest >= size))
    token, last = rows.highest[row], size - 1
    raise DataError(
        f"row {rows.ids[row]}: token id {token} is beyond the model, whose {size} tokens are 0 to {last}: "
        "use the model that these ids were made for, or the tokenizer that belongs to the model"
    )


def fingerprint(examples: Sequence[Example], encoder: Encoder, limits: Limits) -> str:
    """The hash of the examples (their fingerprint, or all they hold), the tokenizer, its template and the limits."""
    digest = hashlib.sha256(f"{VERSION} {limits}".encode())
    tokenizer = encoder.tokenizer
    facts = f"{encoder.vocabulary} {tokenizer.chat_template} {tokenizer.special_tokens_map} {sorted(encoder.stops)}"
    digest.update(f"{facts} {encoder.special_tokens}".encode())
    if own := getattr(examples, "fingerprint", None):
        digest.update(own.encode())
        return digest.hexdigest()[:32]
    for e in examples:
        row = [e.id, e.prompt, e.responses, e.labels, e.rewards, e.weight, e.meta]
        digest.update(json.dumps(row, default=str).encode())
    return digest.hexdigest()[:32]


def _build(
    partial: Path, examples: Sequence[Example], encoder: Encoder, limits: Limits, track: Track, skip_bad: bool
) -> None:
    drops, place = [], 0
    with Writer(partial) as writer:
        for chunk, tokens in encoder.stream(chunks(examples, CHUNK)):
            rows: list[Row] = []
            for number, (example, uncut) in enumerate(zip(chunk, tokens, strict=True), place):
                try:
                    rows.append((number, example, truncate(_fit(uncut), limits)))
                except Drop as drop:
                    drops.append({"id": example.id, "reason": str(drop)})
                except Refusal as refusal:
                    if not skip_bad:
                        raise refused(example.id, str(refusal)) from refusal
                    reason = f"bad row: {refusal.reason}"
                    drops.append({"id": example.id, "reason": reason, "refused": str(refusal)})
            writer.add(rows)
            place += len(chunk)
            track(len(chunk))
    (partial / DROPS).write_text(json.dumps(drops), encoding="utf-8")
    (partial / NOTES).write_text(json.dumps(encoder.notes.said), encoding="utf-8")


def _fit(row: Tokens | Unfit) -> Tokens:
    if isinstance(row, Exception):
        raise row
    return row


def _read(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))
