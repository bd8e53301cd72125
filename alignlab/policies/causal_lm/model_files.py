"""Fingerprints of the files of a model, told without loading it."""

import json
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

from alignlab.file_digests import file_digest
from alignlab.places import ADAPTER

KINDS = (
    "*.safetensors",
    "*.index.json",
    "*model*.bin",
    "*config.json",
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.*",
    "merges.txt",
    "*.model",
    "*.jinja",
    "*.py",
)
"""The names of files that decide what a model computes, and how text becomes its tokens."""


def model_files(source: str, revision: str | None = None, memory: Path | None = None) -> dict[str, str]:
    """The SHA-256 of each file of a model folder, by name; the commit of a model of the hub that is in its local cache.

    The base model of a folder that holds an adapter counts, too. Empty where nothing is known yet. The hashes of files
    that did not change are read from the folder `memory`.
    """
    folder = Path(source).expanduser()
    if folder.is_dir():
        return dict(_hashes(folder, memory))
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(source, "config.json", revision=revision)
    return {"commit": Path(cached).parent.name} if isinstance(cached, str) else {}


def _hashes(folder: Path, memory: Path | None) -> Iterator[tuple[str, str]]:
    for file in sorted(folder.iterdir()):
        if file.is_file() and any(fnmatch(file.name, kind) for kind in KINDS):
            yield file.name, file_digest(file, memory)
    if (adapter := folder / ADAPTER).is_file():
        base = str(json.loads(adapter.read_text(encoding="utf-8")).get("base_model_name_or_path"))
        if base != str(folder):
            yield from ((f"{base}/{name}", known) for name, known in model_files(base, memory=memory).items())
