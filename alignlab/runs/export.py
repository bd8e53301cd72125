"""The trained policy as a plain Hugging Face folder."""

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from alignlab.places import CONF

UNKNOWN = "unknown"
UNITS = dict.fromkeys(("rewards", "logps", "logps_change", "kl", "kl_k3", "kl_exact", "kl_ci"), "nats")
UNITS |= {"lengths": "tokens", "length": "tokens", "tokens_per_second": "tokens/s", "memory_mb": "MiB"}


@dataclass(frozen=True)
class Trained:
    """What a model card tells of a training."""

    task: str
    """The hub's `pipeline_tag`."""
    objective: str
    hyper: Mapping[str, Any]
    """Settings of the loss."""
    terms: Sequence[str]
    """Regularizers and modifiers."""
    data: Sequence[str]
    """Names of the sources."""
    pipeline: Sequence[str]
    base: str
    steps: int
    command: str
    initial: Mapping[str, float]
    final: Mapping[str, float]
    versions: Mapping[str, str | None]


def export(policy: Any, tokenizer: Any, folder: Path, card: str) -> None:
    """Save safetensors, tokenizer and model card beside the folder, then put it in place."""
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    policy.export(partial)
    tokenizer.save_pretrained(partial)
    (partial / "README.md").write_text(card, encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(partial, folder)


def model_card(told: Trained) -> str:
    """What the model was trained on and how it did, as the README of its folder."""
    front = {
        "library_name": "transformers",
        "pipeline_tag": told.task,
        "tags": ["alignlab", "preference-alignment", told.objective],
        "base_model": told.base,
        "license": UNKNOWN,
    }
    hyper = ", ".join(f"{key}={value}" for key, value in told.hyper.items()) or "no hyper-parameters"
    rows = [
        (name, _number(told.initial.get(name)), _number(value), _unit(name))
        for name, value in told.final.items()
    ]
    versions = ", ".join(f"{name} {version}" for name, version in told.versions.items() if version)
    return f"""---
{yaml.safe_dump(front, sort_keys=False)}---

# {told.objective} on {", ".join(told.data)}

Trained with alignlab from `{told.base}`, {told.steps:,} optimizer steps.

- objective: `{told.objective}` ({hyper})
- regularizers and modifiers: {_names(told.terms)}
- pipeline: {_names(told.pipeline)}

```
{told.command}
```

## Data and licences

{_table(("data", "what it is", "licence"), [(name, *data_facts(name)) for name in told.data])}

Licence of the base model: {base_licence(told.base)}. A model carries the terms of its base model and of its data: check
both before you pass it on.

## Metrics

On validation rows and, as `gold`, on samples; before the first step and after the last.

{_table(("metric", "before", "after", "unit"), rows)}

Made with {versions}.
"""


def data_facts(name: str) -> tuple[str, str]:
    """What the yaml of a data set says in its first line: what it is, and the licence in brackets there.

    >>> data_facts("ultrafeedback")[1], data_facts("local")[1]
    ('MIT', 'unknown')
    """
    file = CONF / "data" / f"{name}.yaml"
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    said = (
        line.removeprefix("#").strip() for line in lines if line.startswith("#") and "@package" not in line
    )
    what = next(said, UNKNOWN)
    found = re.search(r"\(([^)]*(?:MIT|Apache|CC-|BSD|licen[cs]e|terms of use)[^)]*)\)", what)
    return what, found[1] if found else UNKNOWN


def base_licence(base: str) -> str:
    """The licence that the front matter of the base model's own README gives, where its folder is at hand."""
    card = Path(base) / "README.md"
    if not card.is_file():
        return UNKNOWN
    parts = card.read_text(encoding="utf-8").split("---\n", 2)
    try:
        front = yaml.safe_load(parts[1]) if len(parts) == 3 and not parts[0].strip() else {}
    except yaml.YAMLError:
        return UNKNOWN
    return str(front.get("license", UNKNOWN)) if isinstance(front, dict) else UNKNOWN


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _names(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "none"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _unit(metric: str) -> str:
    parts = metric.split("/")
    if "accuracy" in parts[-1]:
        return "share"
    return next((UNITS[part] for part in parts[1:] if part in UNITS), "")
