"""A dataset under the policy of a run, or under a model alone: what `alignlab score` and `alignlab analyze` begin with."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import OmegaConf

from alignlab.analysis.scored import Scored
from alignlab.config.build import build_stage
from alignlab.config.check import check
from alignlab.config.schema import GROUPS
from alignlab.config.stage_configs import combined, model_at
from alignlab.console import tracked
from alignlab.data.encoding.token_rows import TokenRows
from alignlab.errors import ConfigError, RunError, one_of
from alignlab.launch.inspect import composed, quiet, rows_of
from alignlab.passes.hidden_products import cached_products
from alignlab.passes.reference import cached_signals
from alignlab.policies.causal_lm.model import CausalLM
from alignlab.runs.folder import RunFolder
from alignlab.runs.overrides import key_of
from alignlab.training.callbacks.validation import sources_of
from alignlab.training.spec import Stage, on_gpu

SPLITS = ("validation", "train")
NAMES = {"name": "", "group": ""}


@dataclass(frozen=True)
class Opened:
    """Models and rows, loaded: what analyses ask."""

    stage: Stage
    tokenizer: Any
    policy: CausalLM
    reference: CausalLM | None
    rows: TokenRows


@quiet()
def opened(overrides: Sequence[str], *, split: str = "validation") -> Opened:
    """A split of the data, with a policy and its reference.

    With `run=<folder>` among the overrides: of the run's data, changed by the other overrides, under its
    trained model and the reference that it was trained against (`reference=precomputed` gives one to a run that
    took none: its start). Without: under the model of the overrides,
    and no reference, unless `reference.path` names another model.
    """
    one_of("split", split, SPLITS)
    run, others = run_of(overrides)
    stage, load_reference = _of_run(run, others) if run else _of_model(others)
    model, tokenizer = stage.load_model()
    splits, _ = rows_of(stage, model, tokenizer)
    rows: TokenRows = getattr(splits, split)
    policy = _on_device(CausalLM(model, packing=stage.packing), stage)
    reference = None
    if load_reference:
        reference = _on_device(CausalLM(stage.reference.load()[0], packing=stage.packing), stage)
    return Opened(stage, tokenizer, policy, reference, rows)


@quiet()
def scored(given: Opened, *, products: bool = False) -> Scored:
    """Scores of the rows, from the cache or computed now.

    `products`: those of the hidden states of the reference (or the model alone), which CHES takes.
    """
    stage, policy, reference, rows = given.stage, given.policy, given.reference, given.rows
    logps = _logps(stage, policy, rows, "log-probabilities of the policy")
    ref_logps = None
    if reference is not None:
        ref_logps = _dense(rows, _logps(stage, reference, rows, "log-probabilities of the reference"))
    sources = sources_of(rows)
    return Scored(
        ids=list(rows.ids),
        sources=[sources[row] for row in rows.ids],
        logps=_dense(rows, logps),
        ref_logps=ref_logps,
        lengths=_dense(rows, rows.responses.lengths),
        labels=_padded([rows.labels[i] for i in range(len(rows))]),
        where=_dense(rows, np.ones(len(rows.responses))) > 0,
        reward=stage.objective.reward,
        scores=None if rows.rewards is None else _padded([rows.rewards[i] for i in range(len(rows))]),
        products=_products(stage, reference or policy, rows) if products else (),
    )


def run_of(overrides: Sequence[str]) -> tuple[RunFolder | None, list[str]]:
    """The run folder that `run=` names, and the other overrides. RunError where there is no finished run."""
    named = [text.partition("=")[2] for text in overrides if text.startswith("run=")]
    others = [text for text in overrides if not text.startswith("run=")]
    if not named:
        return None, others
    run = RunFolder(Path(named[-1]).expanduser())
    if not (run.path / "config.yaml").is_file():
        raise RunError(f"run={named[-1]}: no run folder there (it has no config.yaml)")
    if not run.model.is_dir():
        raise RunError(f"run={named[-1]}: the run has no model/ yet; go on with it by resume=auto")
    return run, others


def config_of(run: RunFolder, overrides: Sequence[str]) -> dict[str, Any]:
    """The config of a run or of one of its stages, with what the overrides change.

    Only the groups that they name are composed anew, so that `data=...` brings no model of its own.
    """
    saved = _yaml(run.path / "config.yaml")
    if not overrides:
        return saved
    given = _lines(run.path / "overrides.txt")
    if run.path.parent.name == "stages":
        given = combined(_lines(run.path.parents[1] / "overrides.txt"), given)
    named = {*map(_group, overrides), "experiment"}
    kept = [text for text in given if _group(text) in named or _group(text) not in GROUPS]
    made = composed(combined(kept, overrides))
    return {**saved, **{key: value for key, value in made.items() if key in named or key not in saved}}


def _of_run(run: RunFolder, overrides: Sequence[str]) -> tuple[Stage, bool]:
    config = config_of(run, overrides)
    start, reference = config["model"], config["reference"]
    if run.path.parent.name == "stages" and reference["of"] == "base":
        start = _yaml(run.path.parents[1] / "config.yaml")["model"]
    trained = {
        **config,
        "model": model_at(config["model"], run.model),
        "reference": {**reference, "mode": "auto", "of": "base", "update": "none"},
        "peft": {"method": "none"},
        "evaluation": {**config["evaluation"], "reward": None},
    }
    check(trained)
    stage = build_stage(trained, run, NAMES, initial=start)
    wanted = stage.objective.needs_reference if reference["mode"] == "auto" else reference["mode"] != "none"
    return stage, wanted


def _of_model(overrides: Sequence[str]) -> tuple[Stage, bool]:
    config = composed(overrides)
    alone = {**config, "reference": {**config["reference"], "mode": "auto"}}
    check(alone)
    stage = build_stage(alone, RunFolder(Path(config["output_dir"])), NAMES)
    return stage, config["reference"]["mode"] != "none" and not stage.reference.is_start


def _group(override: str) -> str:
    """The group that an override chooses or changes.

    >>> [_group(text) for text in ("data=lab", "+data.path=/x", "model@other=tiny")]
    ['data', 'data', 'model']
    """
    return key_of(override).partition(".")[0].partition("@")[0]


def _yaml(file: Path) -> dict[str, Any]:
    found: Any = OmegaConf.to_container(OmegaConf.load(file))
    if not isinstance(found, dict) or "model" not in found:
        raise ConfigError(f"{file}: this is no config of a run")
    return found


def _lines(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8").splitlines() if file.is_file() else []


def _on_device(policy: CausalLM, stage: Stage) -> CausalLM:
    return policy.to("cuda" if on_gpu(stage.trainer.accelerator) else "cpu")


def _logps(stage: Stage, policy: CausalLM, rows: TokenRows, what: str) -> Any:
    """One value a response, from the cache or computed now."""
    with tracked(what, len(rows)) as advance:
        found = cached_signals(
            policy,
            rows,
            ["ref_logps"],
            cache_dir=stage.cache_dir,
            budget=stage.data.microbatch_tokens,
            track=advance,
        )
    return found["ref_logps"]


def _products(stage: Stage, policy: CausalLM, rows: TokenRows) -> list[torch.Tensor]:
    with tracked("hidden states", len(rows)) as advance:
        found = cached_products(
            policy, rows, cache_dir=stage.cache_dir, budget=stage.data.microbatch_tokens, track=advance
        )
    return [torch.from_numpy(values.copy()) for values in found]


def _dense(rows: TokenRows, values: Any) -> torch.Tensor:
    """Values of responses as `[B, K]`, 0 where a list is shorter."""
    return _padded([values[rows.members[i]] for i in range(len(rows))])


def _padded(lists: Sequence[Any]) -> torch.Tensor:
    out = torch.zeros(len(lists), max(len(values) for values in lists), dtype=torch.float64)
    for row, values in zip(out, lists, strict=True):
        row[: len(values)] = torch.from_numpy(np.array(values, dtype=np.float64))
    return out
