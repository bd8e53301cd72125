"""CPU seconds of an online step: beside TRL's online DPO at two responses a prompt, and beside a floor.

python scripts/bench_online.py                       # 6 M random weights, prompts of the embedded world: 18 tokens
python scripts/bench_online.py --joined 16           # such prompts, 16 of them joined to one

Both draw, judge, and take a DPO step with a frozen reference on the same prompts, with the same weights, learning rate
and largest length, in float32 on one thread; a response of random weights hardly ever ends of itself. The judge gives
no two responses the same: alignlab drops lists that are tied and draws others, where TRL trains on them, so that with
ties the steps would not be the same work. A step is the time from the end of one to that of the next; the first ones
are left out. The floor is bare decoder steps of as many tokens, one packed forward and backward over the lists of the
last step, and one forward of the reference.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

# The code of this checkout, whatever is installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import lightning as L
import torch
from bench.by_hash import of_text
from datasets import Dataset
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, TrainerCallback
from trl.experimental.online_dpo import OnlineDPOConfig, OnlineDPOTrainer

from alignlab.config.stage_of import stage_of
from alignlab.lab import vocabulary, world
from alignlab.online.written import Rollouts
from alignlab.policies.causal_lm.model import CausalLM
from alignlab.runs.folder import RunFolder
from alignlab.sampling.context import Context, Reader
from alignlab.sampling.scored import batch_of
from alignlab.training.opened import read
from alignlab.training.stage import run_stage

SKIPPED = 2
"""Steps at the start that are not measured."""
LR, BETA = 1e-4, 0.1


class Clock:
    """The CPU seconds at the end of each step, and its loss."""

    def __init__(self) -> None:
        self.ends: list[float] = []
        self.losses: list[float] = []

    @property
    def seconds(self) -> float:
        """The median of the steps that count."""
        steps = [after - before for before, after in zip(self.ends, self.ends[1:], strict=False)]
        return statistics.median(steps[SKIPPED:])


class OfLightning(L.Callback):
    """Tells the clock of alignlab's steps."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def on_train_batch_end(self, trainer: Any, module: Any, *_: Any) -> None:
        self.clock.ends.append(time.process_time())
        self.clock.losses.append(module.latest_step["loss"])


class OfTransformers(TrainerCallback):
    """Tells the clock of TRL's steps."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.clock.ends.append(time.process_time())

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **__: Any) -> None:
        self.clock.losses += [logs["loss"]] if "loss" in (logs or {}) else []


def write_model(folder: Path) -> None:
    """A random model with the tokenizer of the embedded world."""
    tokenizer = vocabulary.build()
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=256,
        intermediate_size=768,
        num_hidden_layers=6,
        num_attention_heads=4,
        max_position_embeddings=512,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def write_rows(file: Path, count: int, joined: int) -> None:
    """As many prompts of the embedded world, each of several that are joined, with two responses that nobody reads."""
    examples = [*world.examples(split="train", size=count * joined)]
    with file.open("w", encoding="utf-8") as out:
        for start in range(0, len(examples), joined):
            asked = " ".join(one.prompt[-1]["content"] for one in examples[start : start + joined])
            row = {
                "prompt": [{"role": "user", "content": asked}],
                "responses": [*examples[start].responses[:2]],
                "labels": [1, 0],
            }
            out.write(json.dumps(row) + "\n")


def stage_for(model: Path, folder: Path, samples: int, args: argparse.Namespace) -> Any:
    """The stage that alignlab trains."""
    return stage_of(
        [
            "recipe=online",
            "model=local",
            f"model.path={model}",
            f"online.samples={samples}",
            f"online.max_new_tokens={args.new_tokens}",
            f"data.lists_per_step={args.prompts}",
            "data=local",
            f"data.path={model / 'rows.jsonl'}",
            "data.limit_validation=4",
            "judge=function",
            "judge.function=bench.by_hash.rewards",
            f"trainer.max_steps={args.steps}",
            f"trainer.validate_every_n_steps={args.steps}",
            "trainer.accelerator=cpu",
            "evaluation=none",
            "evaluation.prompts=0",
            "scheduler=constant",
            "scheduler.warmup_ratio=0",
            f"optimizer.lr={LR}",
            f"objective.loss.beta={BETA}",
            f"output_dir={folder}",
        ]
    )


def ours(model: Path, folder: Path, samples: int, args: argparse.Namespace) -> Clock:
    clock = Clock()
    run_stage(
        replace(
            stage_for(model, folder, samples, args), make_callbacks=lambda: {"clock": OfLightning(clock)}
        ),
        RunFolder(folder),
    )
    return clock


def trl(model: Path, folder: Path, args: argparse.Namespace) -> Clock:
    clock = Clock()
    prompts = [one.prompt for one in read(stage_for(model, folder, 2, args)).train]

    def reward(prompts: Any, completions: Any, **_: Any) -> list[float]:
        return [of_text(one[0]["content"]) for one in completions]

    OnlineDPOTrainer(
        model=LlamaForCausalLM.from_pretrained(model),
        ref_model=LlamaForCausalLM.from_pretrained(model),
        reward_funcs=reward,
        processing_class=AutoTokenizer.from_pretrained(model),
        train_dataset=Dataset.from_dict({"prompt": prompts}),
        callbacks=[OfTransformers(clock)],
        args=OnlineDPOConfig(
            output_dir=str(folder),
            max_steps=args.steps,
            per_device_train_batch_size=args.prompts,
            gradient_checkpointing=False,
            max_new_tokens=args.new_tokens,
            max_length=512,
            temperature=1.0,
            missing_eos_penalty=None,
            beta=BETA,
            learning_rate=LR,
            lr_scheduler_type="constant",
            max_grad_norm=1.0,
            logging_steps=1,
            save_strategy="no",
            report_to=[],
            use_cpu=True,
            bf16=False,
            disable_tqdm=True,
        ),
    ).train()
    return clock


def floor(model: Path, folder: Path, args: argparse.Namespace) -> float:
    """CPU seconds of the bare parts of the last step that alignlab took in this folder."""
    rollouts = [one.rollout for one in Rollouts(folder).past(args.steps - 1).trained]
    batch = batch_of(rollouts)
    policy, reference = (CausalLM(LlamaForCausalLM.from_pretrained(model).eval()) for _ in range(2))
    prompts = [one.prompt_ids.tolist() for one in rollouts for _ in one.responses]
    steps = round(sum(len(ids) for one in rollouts for ids in one.responses) / len(prompts))

    def decoded() -> None:
        context = Context.of(Reader(policy.model), prompts)
        for _ in range(steps):
            context.advance(context.logits.argmax(-1))

    def step() -> None:
        with torch.no_grad():
            decoded()
            reference(batch)
        policy(batch).logps.sum().backward()

    return statistics.median(_timed(step) for _ in range(args.rounds))


def _timed(work: Callable[[], None]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, default in {
        "prompts": 16,
        "joined": 1,
        "new-tokens": 32,
        "steps": 10,
        "rounds": 5,
    }.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        model, folder = Path(place) / "model", Path(place)
        write_model(model)
        write_rows(model / "rows.jsonl", args.prompts * (args.steps + 1), args.joined)
        two, theirs = ours(model, folder / "two", 2, args), trl(model, folder / "trl", args)
        eight = ours(model, folder / "eight", 8, args)
        least = {number: floor(model, folder / name, args) for number, name in ((2, "two"), (8, "eight"))}
        rollouts = [one.rollout for one in Rollouts(folder / "two").past(args.steps - 1).lists]
    asked = statistics.mean(len(one.prompt_ids) for one in rollouts)
    drawn = statistics.mean(len(ids) for one in rollouts for ids in one.responses)
    print(f"{len(rollouts)} prompts a step, of {asked:.1f} tokens; responses of {drawn:.1f}")
    for name, clock in {"alignlab, 2": two, "TRL, 2": theirs, "alignlab, 8": eight}.items():
        first, last = clock.losses[0], clock.losses[-1]
        print(f"{name:12} {clock.seconds:.3f} CPU seconds a step, loss {first:.4f} -> {last:.4f}")
    for number, seconds in least.items():
        print(f"floor, {number:<5} {seconds:.3f}")
    print(
        f"at 2: alignlab / TRL {two.seconds / theirs.seconds:.2f}, floor / TRL {least[2] / theirs.seconds:.2f}, "
        f"alignlab / floor {two.seconds / least[2]:.2f}; at 8: alignlab / floor {eight.seconds / least[8]:.2f}"
    )


if __name__ == "__main__":
    main()
