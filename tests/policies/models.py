"""Tiny models of many families, randomly initialised, and log-probabilities computed the plain way."""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM

from alignlab.policies.causal_lm.model import CausalLM
from alignlab.policies.causal_lm.packing.tiny_copy import Exact
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
EXPERTS = {"num_local_experts": 3, "num_experts_per_tok": 2, "experts_implementation": "eager"}
KINDS = {"layer_types": ["sliding_attention", "full_attention"], "sliding_window": 4}
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": LLAMA,
    "qwen2": LLAMA,
    "qwen2 sliding": LLAMA | KINDS | {"use_sliding_window": True},
    "qwen3": GEMMA,
    "mistral": LLAMA | {"sliding_window": None},
    "mistral sliding": LLAMA | {"sliding_window": 4},
    "gemma": GEMMA,
    "gemma2": GEMMA | KINDS | {"final_logit_softcapping": 2.0, "attn_logit_softcapping": 3.0},
    "gemma3_text": GEMMA | KINDS | {"final_logit_softcapping": 1.5},
    "cohere": LLAMA | {"logit_scale": 0.25},
    "cohere2": GEMMA | KINDS | {"logit_scale": 0.25},
    "granite": LLAMA | {"logits_scaling": 3.0, "residual_multiplier": 0.5},
    "gpt2": GPT2,
    "gpt_neox": LLAMA,
    "phi": LLAMA,
    "opt": LLAMA | {"ffn_dim": 24, "word_embed_proj_dim": 8, "dropout": 0.3, "layerdrop": 0.5},
    "olmo2": LLAMA,
    "phi3": LLAMA,
    "smollm3": LLAMA | {"no_rope_layers": [1, 0]},
    "mixtral": LLAMA | EXPERTS,
    "stablelm": LLAMA,
    "gptj": GPT2 | {"rotary_dim": 4},
    "gpt_oss": GEMMA | KINDS | EXPERTS,
    "bloom": {"hidden_size": 16, "n_layer": 2, "n_head": 2},
    "lfm2": LLAMA | {"layer_types": ["conv", "full_attention"], "block_auto_adjust_ff_dim": False},
}
FORMS = dict.fromkeys(FAMILIES, "segments") | {
    "stablelm": "masks",
    "gpt_oss": "masks by layer type",
    "bloom": "",
    "lfm2": "",
}
"""The packed form that each takes; none, where only padded rows are exact."""
DROPOUT = dict.fromkeys(
    ("attention_dropout", "attn_pdrop", "resid_pdrop", "embd_pdrop", "hidden_dropout"), 0.3
)


def build(family: str, seed: int = 0, vocabulary: int = VOCABULARY) -> Any:
    """In float64, in training mode, from a config that asks for dropout. Weights wide enough to matter."""
    special = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "initializer_range": 0.3}
    options = FAMILIES[family] | special | DROPOUT | {"vocab_size": vocabulary}
    experts = {"experts_implementation": options.pop("experts_implementation", None)}
    config = AutoConfig.for_model(family.split()[0], **options)
    torch.manual_seed(seed)
    return AutoModelForCausalLM.from_config(config, dtype=torch.float64, **experts).train()


def policy(
    family: str = "llama", seed: int = 0, vocabulary: int = VOCABULARY, packing: str = "auto"
) -> CausalLM:
    """A model of a family as a policy; the same one for the same arguments."""
    return _policy(family, seed, vocabulary, packing)


@cache
def _policy(family: str, seed: int, vocabulary: int, packing: str) -> CausalLM:
    return CausalLM(build(family, seed, vocabulary), packing=packing).train()


def distributions(model: torch.nn.Module, prompt: list[int], response: list[int]) -> Tensor:
    """The whole distribution at each position that predicts a response token: [tokens, vocabulary]."""
    with Exact():
        logits = model(input_ids=torch.tensor([prompt + response]), use_cache=False).logits[0]
        return logits.log_softmax(-1)[len(prompt) - 1 : -1]


def token_logps(model: torch.nn.Module, prompt: list[int], response: list[int]) -> Tensor:
    """Log-probability of each response token."""
    return distributions(model, prompt, response)[range(len(response)), response]


def naive_logps(model: torch.nn.Module, rows: Rows) -> list[list[Tensor]]:
    """Log-probability of each response, list by list."""
    return [
        [token_logps(model, prompt, response).sum() for response in responses] for prompt, responses in rows
    ]


def gradients(policy: torch.nn.Module) -> dict[str, Tensor]:
    """The gradients of all parameters, which are then cleared."""
    found = {name: p.grad.clone() for name, p in policy.named_parameters() if p.grad is not None}
    policy.zero_grad()
    return found


def gradients_of(policy: torch.nn.Module, loss: Callable[[], Tensor]) -> dict[str, Tensor]:
    """The gradients of a loss, computed in float64 throughout."""
    with Exact():
        loss().backward()
    return gradients(policy)


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float = 1e-9) -> None:
    """Gradients of the same parameters, equal to the tolerance (relative where they are large)."""
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(
            found[name], gradient, atol=tolerance, rtol=tolerance, msg=lambda m, n=name: f"{n}: {m}"
        )
