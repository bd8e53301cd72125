"""What is measured: models, rows, and the cases to compare or to grow."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

MODELS: dict[str, dict[str, Any]] = {
    "nano": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64},
    "llama17m": {
        "hidden_size": 256,
        "num_hidden_layers": 6,
        "num_attention_heads": 4,
        "intermediate_size": 704,
    },
    "smollm2_135m": {
        "hidden_size": 576,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "intermediate_size": 1536,
        "rope_theta": 100_000.0,
    },
}
"""Shapes of Llama, head and embedding tied, weights at random: speed and memory do not depend on them."""
SPECIAL = 3
"""Ids below are the tokenizer's own."""
LR = 1e-4
"""Large enough for the losses of a few steps to tell one optimizer step from another."""


@dataclass(frozen=True)
class Case:
    """Rows of one kind. Lengths in tokens are drawn between two bounds; `pairs` are those of each list."""

    name: str
    prompt: tuple[int, int]
    response: tuple[int, int]
    responses: int = 2
    pairs: str = "best_worst"
    lists_per_step: int = 16
    vocabulary: int = 49_152
    goal: tuple[float, float] | None = None
    """Speed (at least) and peak memory (at most) as ratios to TRL at its best."""


SHORT = Case("short", (8, 32), (16, 128), goal=(2.0, 0.6))
LISTS = Case("lists", (64, 192), (32, 128), lists_per_step=4)
COMPARED = [
    SHORT,
    Case("long prompt", (512, 512), (64, 64), lists_per_step=8, goal=(2.0, 0.75)),
    replace(LISTS, name="K=4, all pairs", responses=4, pairs="all", goal=(7.0, 0.6)),
    replace(LISTS, name="K=4, best and rest", responses=4, pairs="best_rest", goal=(3.5, 0.6)),
    replace(LISTS, name="K=8, all pairs", responses=8, pairs="all", goal=(15.0, 0.6)),
    replace(LISTS, name="K=8, best and rest", responses=8, pairs="best_rest", goal=(6.0, 0.6)),
    replace(SHORT, name="vocabulary 100k", vocabulary=100_352, goal=None),
    replace(SHORT, name="vocabulary 150k", vocabulary=151_936, goal=None),
]
GROWN = {
    "responses of a list": [
        replace(LISTS, name=f"K={k}", responses=k, pairs="all", lists_per_step=2) for k in (2, 4, 8, 16)
    ],
    "prompt tokens": [
        Case(f"prompt {size}", (size, size), (64, 64), lists_per_step=4) for size in (64, 256, 512, 1024)
    ],
    "vocabulary": [
        replace(SHORT, name=f"V={size}", vocabulary=size, lists_per_step=8)
        for size in (16_384, 49_152, 100_352, 151_936)
    ],
}
"""Axis to its cases, from small to large."""


def save_model(folder: Path, shape: str, vocabulary: int) -> Path:
    """A Hugging Face folder with random weights, and a tokenizer of a few words that nothing uses."""
    if (folder / "config.json").is_file():
        return folder
    import torch
    from tokenizers import Tokenizer, models
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()

    words = {"<pad>": 0, "<unk>": 1, "<eos>": 2}
    config = LlamaConfig(
        vocab_size=vocabulary,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        pad_token_id=0,
        bos_token_id=2,
        eos_token_id=2,
        **MODELS[shape],
    )
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(folder)
    bare = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    PreTrainedTokenizerFast(
        tokenizer_object=bare, pad_token="<pad>", unk_token="<unk>", eos_token="<eos>"
    ).save_pretrained(folder)
    return folder


def save_rows(file: Path, case: Case, lists: int) -> int:
    """Write rows of random tokens; returns the longest prompt-and-response."""
    random = np.random.default_rng(0)

    def ids(bounds: tuple[int, int]) -> list[int]:
        size = random.integers(bounds[0], bounds[1] + 1)
        return random.integers(SPECIAL, case.vocabulary, size).tolist()

    rows = [
        {"prompt_ids": ids(case.prompt), "responses": [ids(case.response) for _ in range(case.responses)]}
        for _ in range(lists)
    ]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return max(len(row["prompt_ids"]) + max(map(len, row["responses"])) for row in rows)


def pairs_of(responses: int, kind: str) -> list[tuple[int, int]]:
    """Better and worse response of each pair of a list, the best first."""
    if kind == "best_worst":
        return [(0, responses - 1)]
    every = [(i, j) for i in range(responses) for j in range(i + 1, responses)]
    return every if kind == "all" else [pair for pair in every if pair[0] == 0]
