"""From examples to tokenized rows, kept on disk under the hash of what decides them."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from filelock import FileLock

from alignlab.data import token_rows
from alignlab.data.examples import Report
from alignlab.data.rows import Drop
from alignlab.data.token_rows import TokenRows
from alignlab.data.tokenize import Encoder, Limits, Tokens, truncate
from alignlab.errors import DataError
from alignlab.types import Example

VERSION = "2"
"""Part of every fingerprint; raise it when tokenizing changes its output."""

CHUNK = 256
DROPS = "dropped.json"
Track = Callable[[int], None]


def tokenized(
    examples: Sequence[Example],
    encoder: Encoder,
    limits: Limits,
    cache_dir: Path,
    report: Report,
    track: Track = lambda _: None,
) -> tuple[TokenRows, str]:
    """Rows cut to the limits, and their fingerprint. Rows that do not fit go to the report.

    The folder appears whole or not at all; jobs that want the same rows wait for the first.
    """
    key = fingerprint(examples, encoder, limits)
    folder = cache_dir / "tokens" / key
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not folder.is_dir():
            _build(folder, examples, encoder, limits, track)
    rows = token_rows.open_rows(folder)
    report.count("tokenize", "in", len(examples))
    report.count("tokenize", "out", len(rows))
    for drop in json.loads((folder / DROPS).read_text(encoding="utf-8")):
        report.drop("tokenize", drop["reason"], drop["id"])
    return rows, key


def require_vocabulary(rows: TokenRows, size: int) -> None:
    """DataError where a token id is beyond the `size` embeddings of the model."""
    largest = [int(part.values.max(initial=-1)) for part in (rows.prompts, rows.responses)]
    if max(largest) < size:
        return
    beyond = [
        max(rows.prompts[i].max(), *(rows.responses[m].max() for m in rows.members[i]))
        for i in range(len(rows))
    ]
    row = next(i for i, value in enumerate(beyond) if value >= size)
    raise DataError(
        f"row {rows.ids[row]}: token id {beyond[row]} is beyond the model, whose {size} tokens are 0 to {size - 1}: "
        "use the model that these ids were made for"
    )


def fingerprint(examples: Sequence[Example], encoder: Encoder, limits: Limits) -> str:
    """Hash of the texts, labels, tokenizer, chat template and limits."""
    digest = hashlib.sha256(f"{VERSION} {limits}".encode())
    tokenizer = encoder.tokenizer
    digest.update(
        tokenizer.backend_tokenizer.to_str().encode() if tokenizer.is_fast else repr(tokenizer).encode()
    )
    digest.update(
        f"{tokenizer.chat_template} {tokenizer.special_tokens_map} {sorted(encoder.stops)}".encode()
    )
    for e in examples:
        row = [e.id, e.prompt, e.responses, e.labels, e.rewards, e.weight, e.meta]
        digest.update(json.dumps(row, default=str).encode())
    return digest.hexdigest()[:32]


def _build(folder: Path, examples: Sequence[Example], encoder: Encoder, limits: Limits, track: Track) -> None:
    kept: list[Example] = []
    tokens: list[Tokens] = []
    drops = []
    for start in range(0, len(examples), CHUNK):
        chunk = examples[start : start + CHUNK]
        for example, made in zip(chunk, encoder(chunk), strict=True):
            try:
                tokens.append(truncate(made, limits))
                kept.append(example)
            except Drop as reason:
                drops.append({"id": example.id, "reason": str(reason)})
        track(len(chunk))
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    token_rows.write(partial, kept, tokens)
    (partial / DROPS).write_text(json.dumps(drops), encoding="utf-8")
    os.replace(partial, folder)
