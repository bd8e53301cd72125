"""TRL's reward model on the pairs of the same lists: `python -m bench.run_trl_rewards SPEC.json`.

Every pair is two whole sequences, each with its prompt. As in `bench.run_trl`: rows in their order, no reports, no
checkpoints, no lower precision on a CPU, no gradient checkpointing, nothing cut, and as many pairs in a micro-batch as
the spec says.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import AutoTokenizer
from trl import RewardConfig, RewardTrainer

from bench.cases import LR
from bench.events import Events
from bench.run_trl import StepEvents, length, paired


class KeptLosses(RewardTrainer):
    """Keeps the losses of a step."""

    losses: list[torch.Tensor]

    def training_step(self, *inputs: Any, **named: Any) -> torch.Tensor:
        loss = super().training_step(*inputs, **named)
        self.losses.append(loss)
        return loss


def whole(pair: dict[str, Any]) -> dict[str, Any]:
    """Both sequences of a pair."""
    return {f"{side}_ids": pair["prompt_ids"] + pair[f"{side}_ids"] for side in ("chosen", "rejected")}


def main(spec: dict[str, Any]) -> None:
    rows = [json.loads(line) for line in Path(spec["rows"]).read_text().splitlines()]
    pairs = paired(rows, spec["pairs"], spec["lists_per_step"])
    steps, at_once = len(rows) // spec["lists_per_step"], spec["flags"]["pairs"]
    events = StepEvents(Events(spec["log"], spec["device"]), spec["lists_per_step"])
    with tempfile.TemporaryDirectory() as folder:
        settings = RewardConfig(
            folder,
            max_steps=steps,
            per_device_train_batch_size=at_once,
            gradient_accumulation_steps=len(pairs) // steps // at_once,
            max_length=max(map(length, pairs)),
            gradient_checkpointing=False,
            learning_rate=LR,
            lr_scheduler_type="constant",
            bf16=spec["device"] != "cpu",
            use_cpu=spec["device"] == "cpu",
            train_sampling_strategy="sequential",
            logging_strategy="no",
            report_to="none",
            save_strategy="no",
            disable_tqdm=True,
        )
        trainer = KeptLosses(
            model=spec["model"],
            args=settings,
            train_dataset=Dataset.from_list([whole(pair) for pair in pairs]),
            processing_class=AutoTokenizer.from_pretrained(spec["model"]),
            callbacks=[events],
        )
        trainer.losses = []
        events.trainer = trainer
        trainer.train()


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
