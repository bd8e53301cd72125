"""Draws responses from a model, so that preference data can hold a policy's own samples."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from alignlab.errors import ConfigError
from alignlab.lab import tiny

LONGEST = 64
"""The largest length of a drawn response, in tokens."""


def policy_of(folder: str | None, cache_dir: str | None) -> tuple[Any, Any]:
    """Load the model and tokenizer of a folder, or the tiny model with its default settings.

    Raises ConfigError where there is no such model.
    """
    if folder is None and cache_dir is None:
        raise ConfigError("the lab draws from model=tiny: set data.source.cache_dir, or data.source.policy")
    if folder is None:
        return tiny.load(cache_dir=str(cache_dir))
    place = Path(folder).expanduser()
    if not (place / "config.json").is_file():
        raise ConfigError(
            f"data.source.policy={folder}: no folder with a model (config.json, model.safetensors)"
        )
    return AutoModelForCausalLM.from_pretrained(place, dtype=torch.float32), AutoTokenizer.from_pretrained(
        place
    )


def draw(
    model: Any, tokenizer: Any, prompts: Sequence[str], *, each: int, temperature: float, seed: str
) -> list[list[str]]:
    """Draw `each` samples for each prompt from the whole distribution at `temperature`; empty ones are left out.

    The same prompts, model and seed give the same texts, whatever the number of cores. Draws no random
    numbers from the caller's generator.
    """
    rows = [_ids(tokenizer, prompt) for prompt in prompts for _ in range(each)]
    longest, filler = max(map(len, rows)), tokenizer.pad_token_id
    tokens = torch.tensor([[filler] * (longest - len(row)) + row for row in rows])
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
    plan = GenerationConfig(  # type: ignore[no-untyped-call]
        do_sample=True,
        temperature=temperature,
        top_k=0,
        top_p=1.0,
        max_new_tokens=LONGEST,
        pad_token_id=filler,
        eos_token_id=tokenizer.eos_token_id,
    )
    with torch.random.fork_rng(devices=[]), torch.no_grad(), tiny.one_thread():
        torch.manual_seed(int.from_bytes(hashlib.sha256(seed.encode()).digest()[:6], "big"))
        out = model.generate(tokens, attention_mask=mask, generation_config=plan)
    texts = tokenizer.batch_decode(out[:, longest:], skip_special_tokens=True)
    return [list(filter(None, texts[i : i + each])) for i in range(0, len(texts), each)]


def _ids(tokenizer: Any, prompt: str) -> list[int]:
    turns = [{"role": "user", "content": prompt}]
    text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])
