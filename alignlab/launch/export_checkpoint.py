"""The export of a run's checkpoint as a plain Hugging Face folder."""

from pathlib import Path

import torch

from alignlab.assembly.build import call, start_loader
from alignlab.config.stage_of import run_config
from alignlab.errors import ConfigError
from alignlab.runs.export import card, export
from alignlab.runs.folder import RunFolder
from alignlab.runs.record import Record
from alignlab.training.checkpointing.checkpoints import step_of
from alignlab.training.checkpointing.policy_weights import load_policy


def export_checkpoint(run: RunFolder, which: str, out: Path) -> Path:
    """Write the model of a checkpoint (best | last | a path) to a folder; returns the path of the checkpoint.

    One process on a CPU is enough, whatever the run was trained on. Raises ConfigError where the run has no such
    checkpoint, RunError where it is damaged.
    """
    config = run_config(run)
    if (
        config["peft"]["method"] == "qlora"
    ):  # adapters are merged into the weights as they were before the 4 bits
        config["peft"] = {**config["peft"], "method": "lora"}
    checkpoint = checkpoint_of(run, which)
    model, tokenizer = start_loader(config)()
    if config["trainer"]["precision"] == "bf16-true":
        model = model.to(torch.bfloat16)
    load_policy(model, checkpoint)
    policy = call(config["policy"], "policy")(model)
    out.parent.mkdir(parents=True, exist_ok=True)
    manifest = Record(run.path).manifest
    readme = card(config, config["model"], manifest, task=policy.task, steps=step_of(checkpoint))
    export(policy, tokenizer, out, readme)
    return checkpoint


def checkpoint_of(run: RunFolder, which: str) -> Path:
    """Return the path of a checkpoint; raises ConfigError, with those that exist, where there is none."""
    named = run.checkpoints / f"{which}.ckpt" if which in ("best", "last") else Path(which)
    if named.exists():
        return named.resolve()
    if stages := sorted(run.path.glob("stages/*/checkpoints")):
        names = ", ".join(f"run={folder.parent}" for folder in stages)
        raise ConfigError(f"{run.path} has several stages, each with its checkpoints: {names}")
    there = ", ".join(file.name for file in sorted(run.checkpoints.glob("*.ckpt"))) or "none"
    raise ConfigError(f"checkpoint={which}: no {named}; in {run.checkpoints}: {there}")
