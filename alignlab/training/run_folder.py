"""The run folder: where everything a run leaves behind goes, each file written whole or not at all."""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class RunFolder:
    """Paths of a run folder, and writes that never leave half a file."""

    path: Path

    @property
    def last_checkpoint(self) -> Path:
        """The newest checkpoint, there once the first one was written."""
        return self.path / "checkpoints" / "last.ckpt"

    @property
    def model(self) -> Path:
        """The exported Hugging Face folder."""
        return self.path / "model"

    @property
    def metrics(self) -> Path:
        """All metrics, one row a report."""
        return self.path / "metrics.csv"

    @property
    def plots(self) -> Path:
        """Pictures."""
        return self.path / "plots"

    def write_text(self, name: str, text: str) -> None:
        """Write a file atomically."""
        write_text(self.path / name, text)

    def write_json(self, name: str, value: Any) -> None:
        """Write a json file atomically."""
        self.write_text(name, json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")

    def write_lines(self, name: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write a jsonl file atomically; no rows, no file."""
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        if text:
            self.write_text(name, text)

    def read_json(self, name: str) -> dict[str, Any]:
        """A json file of the folder; empty where there is none."""
        file = self.path / name
        return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}

    def update_summary(self, **values: Any) -> None:
        """Set some values of summary.json."""
        self.write_json("summary.json", {**self.read_json("summary.json"), **values})


def write_text(file: Path, text: str) -> None:
    """Write beside the file, then put it in place; the old file stays whole until then."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(file.name + ".partial")
    with partial.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(partial, file)
