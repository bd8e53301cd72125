"""A model, rows and a stage small enough to train in a moment."""

import inspect
import json
import random
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from alignlab.assembly.build import make_optimizer
from alignlab.data.sources import token_ids
from alignlab.data.spec import DataSpec
from alignlab.lab import vocabulary, world
from alignlab.objective.load import load_objective
from alignlab.policies.actor_critic import ActorCritic
from alignlab.policies.attribute_model import AttributeModel
from alignlab.policies.causal_lm.model import CausalLM
from alignlab.policies.classifier import Classifier
from alignlab.policies.policy import Policy
from alignlab.policies.preference_model import PreferenceModel
from alignlab.policies.reranker import Reranker
from alignlab.policies.reward_model import RewardModel
from alignlab.runs.folder import RunFolder
from alignlab.signals import DRAWN
from alignlab.training.loggers.csv_log import CsvLog
from alignlab.training.settings import CheckpointSpec, TrainerSpec
from alignlab.training.spec import ReferenceSpec, Stage

ADAMW = {"_target_": "torch.optim.AdamW", "lr": 0.01, "weight_decay": 0.0}
CONSTANT = {"_target_": "alignlab.training.optim.schedule", "name": "constant", "warmup_ratio": 0.0}


OPTIONS: dict[type[Policy], dict[str, Any]] = {
    AttributeModel: {"attributes": ["quality", "length"], "fit": "attributes", "gate_width": 4},
    Classifier: {"classes": ["kind", "rude"], "attribute": "harm"},
}
"""What policies cannot be without."""


def load_small(dtype: torch.dtype = torch.float32, seed: int = 0) -> tuple[Any, Any]:
    """A random Llama that has seen nothing, and the lab's tokenizer."""
    tokenizer = vocabulary.build()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=512,
        eos_token_id=tokenizer.eos_token_id,
    )
    model = LlamaForCausalLM(config)
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if "norm" not in name:
            parameter.data = 0.1 * torch.randn(parameter.shape, generator=generator, dtype=torch.float32)
    return model.to(dtype), tokenizer


def load_adopted(policy: type[Policy]) -> tuple[Any, Any]:
    """The same model as such a policy wraps it."""
    model, tokenizer = load_small()
    taken = inspect.signature(policy.adopt).parameters
    options = {name: value for name, value in OPTIONS.get(policy, {}).items() if name in taken}
    return policy.adopt(model, tokenizer, **options), tokenizer


def small_policy(dtype: torch.dtype = torch.float32) -> CausalLM:
    return CausalLM(load_small(dtype)[0])


def drawn_rows(folder: Path, lists: int = 24) -> Path:
    """A file of drawn lists of two to four responses, with all that a sampler tells of them."""
    rng = random.Random(0)
    rows = []
    for number in range(lists):
        sizes = [rng.randint(1, 6) for _ in range(2 + number % 3)]

        def by_token(low: float, sizes: list[int] = sizes) -> list[list[float]]:
            return [[rng.uniform(low, low + 1) for _ in range(size)] for size in sizes]

        rows.append(
            {
                "id": f"d{number}",
                "prompt_ids": [1, 2 + number],
                "responses": [[rng.randrange(1, 60) for _ in range(size)] for size in sizes],
                "rewards": [rng.random() for _ in sizes],
                "finished": [True, *[False] * (len(sizes) - 1)],
                "from_reference": [False] * (len(sizes) - 1) + [True],
                "token_behavior_logps": by_token(-4.5),
                "token_old_logps": by_token(-4.5),
                "token_behavior_values": by_token(0.0),
            }
        )
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "drawn.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def small_stage(folder: Path, objective: str = "dpo", *, mode: str = "auto", **changes: Any) -> Stage:
    """A stage over 24 lists of the lab; `changes` are fields of Stage, DataSpec, TrainerSpec or hyper-parameters."""
    data = DataSpec("lab", world.examples, limit=24, limit_validation=8, lists_per_step=8, form="lists")
    trainer = TrainerSpec(max_steps=3, accelerator="cpu")
    made = load_objective(objective, **changes.pop("hyper", {}))
    if made.signals & DRAWN:
        rows = drawn_rows(folder)
        drawn = DataSpec("token_ids", token_ids.convert, path=str(rows), validation_fraction=None)
        data = replace(drawn, limit_validation=8, lists_per_step=8)
    scoring: dict[str, type[Policy]] = {
        "class_logits": Classifier,
        "value_slopes": Reranker,
        "values": RewardModel,
        "preferences": PreferenceModel,
        "attribute_values": AttributeModel,
        "token_values": ActorCritic,
    }
    policy = next((scoring[name] for name in scoring if name in made.signals), CausalLM)
    stage = Stage(
        objective=made,
        data=replace(data, **changes.pop("data", {})),
        load_model=partial(load_adopted, policy),
        make_policy=partial(policy, **OPTIONS.get(policy, {})),
        reference=ReferenceSpec(mode, "small", load_small, is_start=True),
        make_optimizer=partial(make_optimizer, ADAMW, changes.pop("scheduler", CONSTANT)),
        make_loggers=lambda: [CsvLog(RunFolder(folder).metrics)],
        trainer=replace(trainer, **changes.pop("trainer", {})),
        cache_dir=folder / "cache",
        seed=0,
        checkpoint=CheckpointSpec(every_n_steps=2),
        progress_every=1,
    )
    return replace(stage, **changes)
