"""TRL's DPO on the same rows: `python -m bench.run_trl SPEC.json`.

Both ways take the rows in their order, and leave out reports, checkpoints and lower precision on a CPU, so that
losses of equal steps are equal to alignlab's. Beyond that, `flags: null` are TRL's defaults (a reference in
memory, gradient checkpointing); else its best for speed (TRL 1.16):

    precompute_ref_log_probs   no reference in memory, no forward of it in a step
    gradient_checkpointing     off
    max_length                 the longest row: nothing is cut
    pairs                      of a micro-batch, the longest together; accumulated to the step
    pad_to_multiple_of         tuned
    optim                      adamw_torch_fused, its default

padding_free is switched off inside this release, and its fused head skips prompts on a GPU only; liger is for
GPUs, and workers would take a core from the training.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import AutoTokenizer, TrainerCallback
from trl import DPOConfig, DPOTrainer

from bench.cases import LR, pairs_of
from bench.events import Events


class TokenTrainer(DPOTrainer):
    """Takes token ids as they are, and keeps the losses of a step."""

    losses: list[torch.Tensor]

    def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
        self.losses = []
        return dataset

    def training_step(self, *inputs: Any, **named: Any) -> torch.Tensor:
        loss = super().training_step(*inputs, **named)
        self.losses.append(loss)
        return loss


class StepEvents(TrainerCallback):
    def __init__(self, events: Events, lists: int) -> None:
        self.events, self.lists = events, lists
        self.trainer: TokenTrainer | None = None

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self.events.ready()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.events.step(self.lists, sum(loss.item() for loss in self.trainer.losses))
        self.trainer.losses.clear()

    def on_train_end(self, *_: Any, **__: Any) -> None:
        self.events.done()


def paired(rows: list[dict[str, Any]], kind: str, lists_per_step: int) -> list[dict[str, Any]]:
    """Every list as pairs; those of a step from long to short."""
    made: list[dict[str, Any]] = []
    for start in range(0, len(rows), lists_per_step):
        step = [
            {
                "prompt_ids": row["prompt_ids"],
                "chosen_ids": row["responses"][i],
                "rejected_ids": row["responses"][j],
            }
            for row in rows[start : start + lists_per_step]
            for i, j in pairs_of(len(row["responses"]), kind)
        ]
        made += sorted(step, key=length, reverse=True)
    return made


def length(pair: dict[str, Any]) -> int:
    return len(pair["prompt_ids"]) + max(len(pair["chosen_ids"]), len(pair["rejected_ids"]))


def main(spec: dict[str, Any]) -> None:
    rows = [json.loads(line) for line in Path(spec["rows"]).read_text().splitlines()]
    pairs = paired(rows, spec["pairs"], spec["lists_per_step"])
    flags, steps = spec["flags"], len(rows) // spec["lists_per_step"]
    of_step = len(pairs) // steps
    shared = {
        "max_steps": steps,
        "learning_rate": LR,
        "lr_scheduler_type": "constant",
        "bf16": spec["device"] != "cpu",
        "use_cpu": spec["device"] == "cpu",
        "train_sampling_strategy": "sequential",
        "report_to": "none",
        "save_strategy": "no",
        "disable_tqdm": True,
    }
    if flags is None:
        chosen = {"per_device_train_batch_size": of_step}
    else:
        chosen = {
            "per_device_train_batch_size": flags["pairs"],
            "gradient_accumulation_steps": of_step // flags["pairs"],
            "pad_to_multiple_of": flags["pad_to_multiple_of"],
            "max_length": max(map(length, pairs)),
            "precompute_ref_log_probs": True,
            "gradient_checkpointing": False,
            "logging_strategy": "no",
        }
    events = StepEvents(Events(spec["log"], spec["device"]), spec["lists_per_step"])
    with tempfile.TemporaryDirectory() as folder:
        trainer = TokenTrainer(
            model=spec["model"],
            args=DPOConfig(folder, **shared, **chosen),
            train_dataset=Dataset.from_list(pairs),
            processing_class=AutoTokenizer.from_pretrained(spec["model"]),
            callbacks=[events],
        )
        events.trainer = trainer
        trainer.train()


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
