"""The trained policy as a plain Hugging Face folder, with a card that tells what it was trained on, and how."""

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from alignlab import hub
from alignlab.places import ADAPTER, CONF
from alignlab.runs.overrides import command

UNKNOWN = "unknown"
NATS = ("rewards", "logps", "logps_change", "logratio", "logratio_k3", "kl", "kl_k3", "kl_exact", "kl_ci")
UNITS = dict.fromkeys(NATS, "nats")
UNITS |= {"lengths": "tokens", "length": "tokens", "tokens_per_second": "tokens/s", "memory_mb": "MiB"}
"""The units of metrics, by a part of their names."""
NONE: Mapping[str, float] = MappingProxyType({})


@dataclass(frozen=True)
class Trained:
    """The facts of a training that its model card tells."""

    task: str
    """The hub's `pipeline_tag`."""
    objective: str
    hyper: Mapping[str, Any]
    """The hyper-parameters of the loss, and of modifiers that belong to the objective."""
    terms: Sequence[str]
    """The names of regularizers and modifiers."""
    data: Mapping[str, tuple[str, str]]
    """The description and the licence of each data set, by its name."""
    pipeline: Sequence[str]
    base: str
    of_hub: bool
    """Whether the base is a model of the hub, which then links to it."""
    is_adapter: bool
    steps: int
    command: str
    initial: Mapping[str, float]
    final: Mapping[str, float]
    versions: Mapping[str, str | None]


def card(
    config: Mapping[str, Any],
    base: Mapping[str, Any],
    manifest: Mapping[str, Any],
    *,
    task: str,
    steps: int,
    is_adapter: bool = False,
    initial: Mapping[str, float] = NONE,
    final: Mapping[str, float] = NONE,
) -> str:
    """The model card of a run, from its config and its manifest.

    `base` is the node `model` that the run began with, `task` that of its policy; `initial` and `final` are metrics,
    where they are known.
    """
    objective, data = config["objective"], config["data"]
    parts = (objective["loss"], *objective.get("modifiers", {}).values())
    sources: Mapping[str, Any] = data.get("parts") or {data["name"]: data}
    trained = Trained(
        task=task,
        objective=objective["name"],
        hyper={key: value for part in parts for key, value in part.items() if key != "_target_"},
        terms=[*config["regularizers"], *config["modifiers"]],
        data={name: data_facts(name, node) for name, node in sources.items()},
        pipeline=list(config["pipeline"]),
        base=base.get("path") or base["name"],
        of_hub=bool(base.get("path")) and hub.is_id(base["path"]),
        is_adapter=is_adapter,
        steps=steps,
        command=command(manifest.get("overrides", ()), manifest.get("searchpath", ())),
        initial=initial,
        final=final,
        versions=manifest.get("versions", {}),
    )
    return model_card(trained)


def export(policy: Any, tokenizer: Any, folder: Path, card: str, *, as_adapter: bool = False) -> None:
    """Write safetensors, tokenizer and model card beside the folder, then put them in its place.

    `as_adapter`: the adapters alone, as peft does; else they are merged into the weights.
    """
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    if as_adapter:
        policy.export_adapter(partial)
    else:
        policy.export(partial)
    tokenizer.save_pretrained(partial)
    (partial / "README.md").write_text(card, encoding="utf-8")
    like_others(partial)
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(partial, folder)


def like_others(folder: Path) -> None:
    """Give safetensors, which are written for their owner alone, the permissions of the folder's config.json."""
    for config in (*folder.glob("config.json"), *folder.glob(ADAPTER)):
        for file in folder.glob("*.safetensors"):
            file.chmod(config.stat().st_mode)


def model_card(trained: Trained) -> str:
    """The README of a model's folder: what it was trained on, its metrics, and the licences that bind it."""
    front = {
        "library_name": "peft" if trained.is_adapter else "transformers",
        "pipeline_tag": trained.task,
        "tags": ["alignlab", "preference-alignment", trained.objective],
        **({"base_model": trained.base} if trained.of_hub else {}),
        "license": UNKNOWN,
    }
    hyper = ", ".join(f"{key}={value}" for key, value in trained.hyper.items()) or "no hyper-parameters"
    rows = [
        (name, _number(trained.initial.get(name)), _number(value), _unit(name))
        for name, value in trained.final.items()
    ]
    versions = ", ".join(f"{name} {version}" for name, version in trained.versions.items() if version)
    return f"""---
{yaml.safe_dump(front, sort_keys=False)}---

# {trained.objective} on {", ".join(trained.data)}

Trained with alignlab from `{trained.base}`, {trained.steps:,} optimizer steps.

- objective: `{trained.objective}` ({hyper})
- regularizers and modifiers: {_names(trained.terms)}
- pipeline: {_names(trained.pipeline)}

```
{trained.command}
```

## Data and licences

{_table(("data", "what it is", "licence"), [(name, *facts) for name, facts in trained.data.items()])}

Licence of the base model: {base_licence(trained.base)}. A model carries the terms of its base model and of its data:
check both before you pass it on.

## Metrics

On validation rows and, as `gold`, on samples; before the first step and after the last.

{_table(("metric", "before", "after", "unit"), rows)}

Made with {versions}.
"""


def data_facts(name: str, settings: Mapping[str, Any] | None = None) -> tuple[str, str]:
    """The description and the licence of a data set: `title`, `paper` and `licence` of its settings, or of its yaml.

    >>> data_facts("ultrafeedback")[1], data_facts("my_own")
    ('MIT', ('unknown', 'unknown'))
    """
    settings = settings or {}
    file = CONF / "data" / f"{settings.get('data', name)}.yaml"
    shipped: Any = yaml.safe_load(file.read_text(encoding="utf-8")) if file.is_file() else {}
    shipped = shipped.get("data", shipped)  # a choice that sets other groups, too, has its own below `data`
    title, paper, licence = (settings.get(key) or shipped.get(key) for key in ("title", "paper", "licence"))
    what = f"{title}, arXiv:{paper}" if title and paper else title
    return what or UNKNOWN, licence or UNKNOWN


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
