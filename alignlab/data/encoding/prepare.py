"""Tokenizes examples, and stores the rows on disk under the hash of all that decides them."""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from alignlab.cache import entry
from alignlab.data.encoding.token_index import Row, Writer, open_rows
from alignlab.data.encoding.token_rows import TokenRows
from alignlab.data.encoding.tokenize import Encoder, Limits, truncate
from alignlab.data.reading.examples import Report
from alignlab.data.reading.rows import Drop
from alignlab.data.tables.table import chunks
from alignlab.errors import DataError
from alignlab.types import Example

VERSION = "3"
"""A part of every fingerprint: raise it when tokenizing changes its output."""

CHUNK = 256
"""The number of rows that are encoded at once."""
DROPS = "dropped.json"
Track = Callable[[int], None]
"""A function that is told each number of rows done."""


def tokenized(
    examples: Sequence[Example],
    encoder: Encoder,
    limits: Limits,
    cache_dir: Path,
    report: Report,
    track: Track = lambda _: None,
) -> tuple[TokenRows, str]:
    """The tokenized rows, cut to the limits, and their fingerprint; rows that do not fit go to the report.

    Their folder appears whole or not at all; jobs that want the same rows wait for the first. `track` is called
    with the number of rows of each chunk.
    """
    key = fingerprint(examples, encoder, limits)
    folder = entry(
        cache_dir / "tokens" / key, lambda partial: _build(partial, examples, encoder, limits, track)
    )
    rows = open_rows(folder, examples)
    report.count("tokenize", "in", len(examples))
    report.count("tokenize", "out", len(rows))
    for drop in json.loads((folder / DROPS).read_text(encoding="utf-8")):
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
    digest.update(facts.encode())
    if own := getattr(examples, "fingerprint", None):
        digest.update(own.encode())
        return digest.hexdigest()[:32]
    for e in examples:
        row = [e.id, e.prompt, e.responses, e.labels, e.rewards, e.weight, e.meta]
        digest.update(json.dumps(row, default=str).encode())
    return digest.hexdigest()[:32]


def _build(
    partial: Path, examples: Sequence[Example], encoder: Encoder, limits: Limits, track: Track
) -> None:
    drops, place = [], 0
    with Writer(partial) as writer:
        for chunk, tokens in encoder.stream(chunks(examples, CHUNK)):
            rows: list[Row] = []
            for number, (example, uncut) in enumerate(zip(chunk, tokens, strict=True), place):
                try:
                    rows.append((number, example, truncate(uncut, limits)))
                except Drop as reason:
                    drops.append({"id": example.id, "reason": str(reason)})
            writer.add(rows)
            place += len(chunk)
            track(len(chunk))
    (partial / DROPS).write_text(json.dumps(drops), encoding="utf-8")
