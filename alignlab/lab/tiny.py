"""The tiny model: a small Llama that is trained on the lab's world in seconds, once, and then cached."""

import hashlib
import json
import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from jaxtyping import Int
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from alignlab.cache import entry
from alignlab.console import tracked
from alignlab.lab import grammar, reading, vocabulary, writers
from alignlab.settings import PositiveNumber, Seed, ShareRange, whole

log = logging.getLogger(__name__)

IGNORE = -100


def load(
    *,
    cache_dir: str,
    seed: Seed = 0,
    steps: Annotated[int, whole(0, 10**6)] = 450,
    batch_size: Annotated[int, whole(1, 4096)] = 32,
    learning_rate: PositiveNumber = 3e-3,
    hidden_size: Annotated[int, whole(1, 4096)] = 96,
    layers: Annotated[int, whole(1, 64)] = 2,
    heads: Annotated[int, whole(1, 64)] = 4,
    skill: ShareRange = (0.2, 0.8),
    words: str = "",
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load the tiny model and its tokenizer, pre-trained on `steps` batches of the world's corpus.

    The corpus is by writers whose skill lies in the range `skill`. The model also knows the `words` of other
    texts, with embeddings that are not trained, and never says them by itself.

    The first call trains it (about 25 s) and leaves a plain Hugging Face folder in
    `<cache_dir>/models`; later calls, and other processes, load that. Draws no random numbers
    from the caller's generator.
    """
    recipe: dict[str, Any] = {
        "seed": seed,
        "steps": steps,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "hidden_size": hidden_size,
        "layers": layers,
        "heads": heads,
        "skill": list(skill),
        "words": words,
    }
    folder = Path(cache_dir).expanduser() / "models" / f"tiny-{fingerprint(recipe)}"
    with torch.random.fork_rng(devices=[]):
        entry(folder, lambda partial: _build(partial, **recipe))
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa")
        return model, AutoTokenizer.from_pretrained(folder)


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute in one thread, so that weights and samples do not depend on the cores or their load."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def fingerprint(recipe: dict[str, Any]) -> str:
    """The hash of all that decides the weights: arguments, the lab's code, the version of torch."""
    text = json.dumps({**recipe, "torch": torch.__version__}, sort_keys=True)
    digest = hashlib.sha256(text.encode())
    for path in sorted(
        str(m.__file__) for m in (grammar, reading, vocabulary, writers, sys.modules[__name__])
    ):
        digest.update(Path(path).read_bytes())
    return digest.hexdigest()[:12]


def _build(
    folder: Path, *, seed: int, hidden_size: int, layers: int, heads: int, words: str, **training: Any
) -> None:
    """Pre-train a model, and save it with its tokenizer to a folder."""
    torch.manual_seed(seed)
    tokenizer = vocabulary.build()
    model = _new_model(tokenizer, hidden_size=hidden_size, layers=layers, heads=heads)
    with one_thread():
        pretrain(model, tokenizer, seed=seed, **training)
    if words:
        tokenizer = vocabulary.build(words)
        _grow(model, len(tokenizer))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _new_model(
    tokenizer: PreTrainedTokenizerBase, *, hidden_size: int, layers: int, heads: int
) -> LlamaForCausalLM:
    special = {name: getattr(tokenizer, name) for name in ("pad_token_id", "bos_token_id", "eos_token_id")}
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden_size,
        intermediate_size=3 * hidden_size,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        max_position_embeddings=512,
        initializer_range=hidden_size**-0.5,
        attention_dropout=0.0,
        **special,
    )
    model = LlamaForCausalLM(config)
    model.generation_config = GenerationConfig(do_sample=True, top_k=0, **special)  # type: ignore[no-untyped-call]
    return model


def _grow(model: LlamaForCausalLM, size: int) -> None:
    """Add words to the model: random embeddings, and output weights of the padding, which is never said."""
    old_size = model.config.vocab_size
    model.resize_token_embeddings(size, mean_resizing=False)
    output_weight, input_weight = model.lm_head.weight, model.model.embed_tokens.weight
    with torch.no_grad():
        input_weight[old_size:].normal_(std=model.config.initializer_range)
        output_weight[old_size:] = output_weight[model.config.pad_token_id]


def pretrain(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    *,
    seed: int,
    steps: int,
    batch_size: int,
    learning_rate: float,
    skill: Sequence[float] = (0.2, 0.8),
) -> None:
    """Next-token training on the corpus: each text once, the loss on the responses alone."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, max(2, steps), pct_start=0.1)
    batches = _batches(tokenizer, seed=seed, steps=steps, batch_size=batch_size, skill=skill)
    model.train()
    log.info("pre-training the tiny model, once: %d steps", steps)
    with tracked("pre-training steps", steps) as advance:
        for tokens, targets in batches:
            logits = model(input_ids=tokens[:, :-1]).logits
            loss = F.cross_entropy(logits.flatten(0, 1), targets[:, 1:].flatten(), ignore_index=IGNORE)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            advance(1)
    model.train(False)


def _batches(
    tokenizer: PreTrainedTokenizerBase,
    *,
    seed: int,
    steps: int,
    batch_size: int,
    skill: Sequence[float] = (0.2, 0.8),
) -> Iterator[tuple[Int[Tensor, "B L"], Int[Tensor, "B L"]]]:
    """Yield right-padded token ids, and the targets, in which everything but the responses is ignored."""
    texts = writers.corpus(steps * batch_size, seed, skill)
    for _ in range(steps):
        rows = [_tokens(tokenizer, *next(texts)) for _ in range(batch_size)]
        length = max(len(prompt) + len(response) for prompt, response in rows)
        tokens = torch.full((batch_size, length), tokenizer.pad_token_id)
        targets = torch.full((batch_size, length), IGNORE)
        for i, (prompt, response) in enumerate(rows):
            end = len(prompt) + len(response)
            tokens[i, :end] = torch.tensor(prompt + response)
            targets[i, len(prompt) : end] = torch.tensor(response)
        yield tokens, targets


def _tokens(tokenizer: PreTrainedTokenizerBase, prompt: str, response: str) -> tuple[list[int], list[int]]:
    turns = [{"role": "user", "content": prompt}]
    before = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    ids = tokenizer([before, response + tokenizer.eos_token], add_special_tokens=False)["input_ids"]
    return ids[0], ids[1]
