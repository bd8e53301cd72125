"""Read a W&B offline run back: a log of 32 KiB blocks (as LevelDB writes them) with a protobuf record each."""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BLOCK, FILE_HEADER, RECORD_HEADER = 32768, 7, 7
FULL, FIRST, LAST = 1, 2, 4


def read_run(folder: Path, number: int = -1) -> dict[str, Any]:
    """Id, group, tags, config, history, summary and exit code of a run below a run folder (the latest one)."""
    file = sorted(folder.glob("wandb/offline-run-*/*.wandb"))[number]
    read: dict[str, Any] = {"config": {}, "history": [], "summary": {}, "exit_code": None}
    for record in _records(file.read_bytes()):
        kind = record.WhichOneof("record_type")
        if kind == "run":
            read |= {"id": record.run.run_id, "group": record.run.run_group, "tags": list(record.run.tags)}
            read["config"] |= _items(record.run.config.update)
        elif kind == "config":
            read["config"] |= _items(record.config.update)
        elif kind == "history":
            read["history"].append(_items(record.history.item))
        elif kind == "summary":
            read["summary"] |= _items(record.summary.update)
        elif kind == "exit":
            read["exit_code"] = record.exit.exit_code
    return read


def _records(data: bytes) -> Iterator[Any]:
    from wandb.proto import wandb_internal_pb2

    assert data[:4] in (b":W&B", b"")  # nothing may be written yet
    position, parts = FILE_HEADER, []
    while position + RECORD_HEADER <= len(data):
        left = BLOCK - position % BLOCK
        if left < RECORD_HEADER:
            position += left
            continue
        _, size, kind = struct.unpack_from("<IHB", data, position)
        if kind == 0 and size == 0:
            position += left
            continue
        body = data[position + RECORD_HEADER : position + RECORD_HEADER + size]
        position += RECORD_HEADER + size
        parts = [body] if kind in (FULL, FIRST) else [*parts, body]
        if kind in (FULL, LAST):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(b"".join(parts))
            yield record


def _items(items: Any) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for item in items:
        keys = list(item.nested_key) or [item.key]
        inner = made
        for key in keys[:-1]:
            inner = inner.setdefault(key, {})
        inner[keys[-1]] = json.loads(item.value_json)
    return made
