"""The trained policy as a plain Hugging Face folder."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def export(model: Any, tokenizer: Any, folder: Path, card: str) -> None:
    """Save safetensors, tokenizer and model card beside the folder, then put it in place."""
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    model.save_pretrained(partial, safe_serialization=True)
    tokenizer.save_pretrained(partial)
    (partial / "README.md").write_text(card, encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(partial, folder)


def model_card(*, objective: str, data: str, base: str, command: str, metrics: Mapping[str, float]) -> str:
    """What the model was trained on and how it did, as the README of its folder."""
    rows = "\n".join(f"| {name} | {value:.4g} |" for name, value in metrics.items())
    return (
        f"---\nlibrary_name: transformers\ntags: [alignlab, {objective}]\nbase_model: {base}\n---\n\n"
        f"# {objective} on {data}\n\nTrained with alignlab from `{base}`:\n\n```\n{command}\n```\n\n"
        f"Validation metrics at the end (log-probabilities and rewards in nats, lengths in tokens):\n\n"
        f"| metric | value |\n|---|---|\n{rows}\n"
    )
