"""The model of the world of sums: a small Llama that learns noisy solutions in seconds, once, and then is cached."""

import hashlib
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM
from transformers import PreTrainedTokenizerFast as Fast

from alignlab.cache import entry
from alignlab.lab import sums
from alignlab.lab.tiny import one_thread
from alignlab.lab.vocabulary import CHAT_TEMPLATE, ROLES, SPECIAL
from alignlab.settings import PositiveNumber, Seed, Share, whole

NUMBERS = range(100)
"""The numbers that have a token each."""


def tokenizer() -> Fast:
    """Return the tokenizer of the world: a token a number, and one for each of `+`, `=` and `;`."""
    words = [*SPECIAL.values(), *ROLES, "+", "=", ";", *map(str, NUMBERS)]
    made = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Split(Regex(r"\d+|\D"), "isolated")
    made.decoder = decoders.Fuse()
    return Fast(  # type: ignore[no-untyped-call]
        tokenizer_object=made, additional_special_tokens=[*ROLES], chat_template=CHAT_TEMPLATE, **SPECIAL
    )


def load(
    *,
    cache_dir: str,
    seed: Seed = 0,
    steps: Annotated[int, whole(0, 10**6)] = 500,
    batch_size: Annotated[int, whole(1, 4096)] = 64,
    learning_rate: PositiveNumber = 5e-3,
    hidden_size: Annotated[int, whole(1, 4096)] = 48,
    layers: Annotated[int, whole(1, 64)] = 2,
    heads: Annotated[int, whole(1, 64)] = 4,
    terms: Annotated[int, whole(2, 8)] = 4,
    noise: Share = 0.2,
) -> tuple[Any, Any]:
    """Load the model and its tokenizer, pre-trained on solutions of which each step is wrong with probability `noise`.

    The first call trains it (some seconds), and leaves a plain Hugging Face folder in `<cache_dir>/models`. It sees the
    sums of the training split alone. Draws no random numbers from the caller's generator.
    """
    recipe = {name: value for name, value in locals().items() if name != "cache_dir"}
    digest = hashlib.sha256(json.dumps({**recipe, "torch": torch.__version__}, sort_keys=True).encode())
    for file in (__file__, sums.__file__):
        digest.update(Path(file).read_bytes())
    folder = Path(cache_dir).expanduser() / "models" / f"sums-{digest.hexdigest()[:12]}"
    with torch.random.fork_rng(devices=[]):
        entry(folder, lambda partial: _build(partial, **recipe))
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa")
        return model, AutoTokenizer.from_pretrained(folder)


def _build(folder: Path, *, seed: int, hidden_size: int, layers: int, heads: int, **training: Any) -> None:
    torch.manual_seed(seed)
    words = tokenizer()
    config = LlamaConfig(
        vocab_size=len(words),
        hidden_size=hidden_size,
        intermediate_size=3 * hidden_size,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        max_position_embeddings=256,
        initializer_range=hidden_size**-0.5,
        pad_token_id=words.pad_token_id,
        bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id,
    )
    model = LlamaForCausalLM(config)
    with one_thread():
        _pretrain(model, words, seed=seed, **training)
    model.save_pretrained(folder)
    words.save_pretrained(folder)


def _pretrain(
    model: LlamaForCausalLM,
    words: Fast,
    *,
    seed: int,
    steps: int,
    batch_size: int,
    learning_rate: float,
    terms: int,
    noise: float,
) -> None:
    """Next-token training on noisy solutions, the loss on the responses alone."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, max(2, steps), pct_start=0.1)
    texts, begun = _texts(words, seed, terms, noise), len(words.tokenize(_frame(words))) + 2 * terms - 1
    for _ in range(steps):
        rows = [next(texts) for _ in range(batch_size)]
        tokens_BT = torch.tensor(words(rows, add_special_tokens=False)["input_ids"])  # all of one length
        logits = model(input_ids=tokens_BT[:, :-1]).logits[:, begun - 1 :]
        optimizer.zero_grad()
        torch.autograd.backward(F.cross_entropy(logits.flatten(0, 1), tokens_BT[:, begun:].flatten()))
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()


def _texts(words: Fast, seed: int, terms: int, noise: float) -> Iterator[str]:
    """Yield sums of the training split with their noisy solutions, as the chat template has them."""
    rng, frame = random.Random(f"sums/corpus/{seed}"), _frame(words)
    while True:
        numbers = sums.draw(rng, terms, "train")
        yield frame.replace("#", sums.asked(numbers)) + sums.worked(rng, numbers, noise) + words.eos_token


def _frame(words: Fast) -> str:
    """The chat template with "#" in place of a prompt, which is one token."""
    turns = [{"role": "user", "content": "#"}]
    return str(words.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))
