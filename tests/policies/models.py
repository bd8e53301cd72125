"""Tiny models of many families, randomly initialised, and log-probabilities computed the plain way."""

from functools import cache

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM

from alignlab.policies.causal_lm import CausalLM
from tests.data.ragged import Rows

VOCABULARY = 37
LLAMA = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 64,
}
GEMMA = LLAMA | {"head_dim": 8}
GPT2 = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 64}
FAMILIES = {
    "llama": LLAMA,
    "qwen2": LLAMA,
    "qwen3": GEMMA,
    "mistral": LLAMA | {"sliding_window": 4},
    "gemma": GEMMA,
    "gemma2": GEMMA | {"final_logit_softcapping": 2.0, "sliding_window": 4},
    "gemma3_text": GEMMA | {"final_logit_softcapping": 1.5, "sliding_window": 4},
    "cohere": LLAMA | {"logit_scale": 0.25},
    "granite": LLAMA | {"logits_scaling": 3.0, "residual_multiplier": 0.5},
    "gpt2": GPT2,
    "gpt_neox": LLAMA,
    "phi": LLAMA,
    "opt": LLAMA | {"ffn_dim": 24, "word_embed_proj_dim": 8, "dropout": 0.3, "layerdrop": 0.5},
    "olmo2": LLAMA,
    "phi3": LLAMA,
}
FLOAT32_NORMS = ("gemma", "gemma2", "gemma3_text", "cohere")
"""Families whose norms compute in float32 whatever the model's precision: so exact are their gradients."""
DROPOUT = dict.fromkeys(
    ("attention_dropout", "attn_pdrop", "resid_pdrop", "embd_pdrop", "hidden_dropout"), 0.3
)


@cache
def policy(family: str = "llama", seed: int = 0, vocabulary: int = VOCABULARY) -> CausalLM:
    """In float64, in training mode, from a config that asks for dropout. Weights wide enough to matter."""
    special = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "initializer_range": 0.3}
    options = FAMILIES[family] | special | DROPOUT | {"vocab_size": vocabulary}
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **options), dtype=torch.float64)
    return CausalLM(model).train()


def token_logps(model: torch.nn.Module, prompt: list[int], response: list[int]) -> Tensor:
    """The whole distribution at each position that predicts a response token: [tokens, vocabulary]."""
    logits = model(input_ids=torch.tensor([prompt + response])).logits[0]
    return logits.log_softmax(-1)[len(prompt) - 1 : -1]


def naive_logps(model: torch.nn.Module, rows: Rows) -> list[list[Tensor]]:
    return [
        [token_logps(model, prompt, response)[range(len(response)), response].sum() for response in responses]
        for prompt, responses in rows
    ]


def gradients(policy: CausalLM) -> dict[str, Tensor]:
    """The gradients of all parameters, which are then cleared."""
    found = {name: p.grad.clone() for name, p in policy.named_parameters() if p.grad is not None}
    policy.zero_grad()
    return found
