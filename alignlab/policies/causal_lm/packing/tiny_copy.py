"""Builds a tiny float64 copy of a model's architecture, on which a claim about the architecture can be tested."""

from collections.abc import Mapping, Sequence
from typing import Any, no_type_check

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from alignlab.types import Batch

WINDOW = 4
"""The sliding window of a copy in tokens, so short that a few tokens reach beyond it."""
HEADS = 4
SMALL = {
    "vocab_size": 32,
    "intermediate_size": 32,
    "intermediate_size_mlp": 32,
    "ffn_dim": 32,
    "ffn_hidden_size": 32,
    "n_inner": 32,
    "moe_intermediate_size": 16,
    "shared_expert_intermediate_size": 16,
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "n_group": 1,
    "topk_group": 1,
    "sliding_window": WINDOW,
    "attention_chunk_size": WINDOW,
}
"""The upper bounds of sizes in a copy, where a config has them."""


def tiny_copy(model: type, config: type, settings: Mapping[str, Any], attention: str) -> nn.Module:
    """Build a model of the same architecture, kinds of layers, windows and soft-caps in small, with random weights.

    `settings` are those of the whole model. Weights are wide enough for soft-caps and attention sinks
    to matter. No global random state is touched. Raises whatever the architecture raises where it
    cannot be built so small.
    """
    whole: Any = config
    small = whole.from_dict(tiny_settings(whole.from_dict(dict(settings))))
    small._attn_implementation = attention
    small._experts_implementation = "eager"  # grouped products of matrices are for narrower floats
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        copy: nn.Module = model(small).double()
        with torch.no_grad():
            for weight in copy.parameters():
                weight.normal_(0.0, 0.2)
    return copy.eval()


def tiny_batch() -> Batch:
    """A micro-batch of a few lists, some longer than the window of a tiny copy."""
    return batch_of([(1, [1]), (13, [7, 1, 6]), (3, [12, 2])])


def batch_of(lists: Sequence[tuple[int, Sequence[int]]]) -> Batch:
    """A micro-batch of random tokens; `lists` holds the length of each prompt, and those of its responses."""
    random = torch.Generator().manual_seed(0)
    facts: list[tuple[int, int, int]] = []
    slot = torch.full((len(lists), max(len(responses) for _, responses in lists)), -1)
    rows = 0
    for number, (prompt, responses) in enumerate(lists):
        facts += [(place, number, -1) for place in range(prompt)]
        for k, response in enumerate(responses):
            facts += [(place, number, rows) for place in range(prompt, prompt + response)]
            slot[number, k] = rows
            rows += 1
    positions, prompts, row = torch.tensor(facts).unbind(1)
    tokens = torch.randint(SMALL["vocab_size"], positions.shape, generator=random)
    ids = tuple(str(number) for number in range(len(lists)))
    return Batch(tokens, positions, prompts, row, slot, torch.zeros(slot.shape), torch.ones(len(lists)), ids)


def first_line(error: Exception) -> str:
    """The type and the first line of an error, at most 200 characters."""
    return f"{type(error).__name__}: {error}".partition("\n")[0][:200]


def tiny_settings(config: Any) -> dict[str, Any]:
    """The settings of a config with small sizes: one layer of each kind, two at least, and few heads."""
    settings = config.to_dict()
    heads, layers = config.num_attention_heads, config.num_hidden_layers
    groups = getattr(config, "num_key_value_heads", None) or heads
    exact = {
        "num_attention_heads": HEADS,
        "num_key_value_heads": HEADS if groups == heads else min(groups, HEADS // 2),
        "hidden_size": HEADS * (getattr(config, "head_dim", None) or config.hidden_size // heads),
    }
    exact["word_embed_proj_dim"] = exact["hidden_size"]
    for name, value in (SMALL | exact).items():
        key = config.attribute_map.get(name, name)
        if isinstance(settings.get(key), int):
            settings[key] = value if name in exact else min(value, settings[key])
    depth, lists = _few_layers({k: v for k, v in settings.items() if "layer" in k or "idx" in k}, layers)
    settings[config.attribute_map.get("num_hidden_layers", "num_hidden_layers")] = depth
    return settings | lists | {"pad_token_id": None, "bos_token_id": 1, "eos_token_id": 2}


def _few_layers(settings: dict[str, Any], layers: int) -> tuple[int, dict[str, Any]]:
    """The number of layers that hold one of each kind, and the settings that tell the kinds, cut down to these.

    Kinds are told by lists with an entry a layer, and by lists of layer numbers.
    """
    lists = {name: value for name, value in settings.items() if isinstance(value, list) and value}
    numbers = {
        k: v for k, v in lists.items() if v == sorted({n for n in v if isinstance(n, int) and n < layers})
    }
    by_layer = {k: v for k, v in lists.items() if len(v) == layers and k not in numbers}
    kinds = [
        str([v[n] for v in by_layer.values()] + [n in v for v in numbers.values()]) for n in range(layers)
    ]
    picked = sorted(kinds.index(kind) for kind in set(kinds))
    if len(picked) == 1:
        picked *= 2
    few: dict[str, Any] = {name: [values[n] for n in picked] for name, values in by_layer.items()}
    few |= {
        name: [new for new, old in enumerate(picked) if old in values] for name, values in numbers.items()
    }
    return len(picked), few


class Exact(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Keeps in float64 what a model's code would round to float32 (norms, softmax, rotary angles)."""

    @no_type_check  # called for every operation: a check of its arguments would cost more than they do
    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation; a cast to float32 becomes one to float64."""
        kwargs = dict(kwargs or {})
        if kwargs.get("dtype") == torch.float32:
            kwargs["dtype"] = torch.float64
        return function(*args, **kwargs)
