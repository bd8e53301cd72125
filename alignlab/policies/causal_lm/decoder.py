"""The parts of a causal LM: the model under its adapters, its decoder, the decoder's layers and their blocks."""

import warnings
from typing import Any

from torch import nn

from alignlab.errors import RunError

BLOCKS = {"attention": ("attn", "attention"), "mlp": ("mlp", "feed_forward", "block_sparse_moe")}
"""The blocks of a layer: each with words that occur in the names of children which are such a block."""
ADAPTER_DROPOUT = "lora_dropout."
"""A part of the path of every dropout module of peft's adapters."""
GATE = "attribute_gate."
"""A part of the path of all that is in the gate of an attribute model."""


def keeps_dropout(path: str) -> bool:
    """Whether the module at this path keeps its dropout, which is for steps of training alone."""
    return ADAPTER_DROPOUT in path or GATE in path


def unwrapped(model: Any) -> Any:
    """Return the transformers model itself, out of peft's wrapper; adapters stay in its layers."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def decoder_of(model: Any) -> nn.Module:
    """Return the model without its head."""
    inner = unwrapped(model)
    return inner.base_model if inner.base_model is not inner else inner.get_decoder()


def has_adapter(model: Any) -> bool:
    """Whether the model has adapters of peft."""
    return hasattr(model, "peft_config")


def merge(model: Any) -> Any:
    """Return the model as a plain one, with what the adapters learned added to its weights, which may all train.

    An embedding and a head that were one weight become two where adapters changed one of them.
    """
    if not has_adapter(model):
        return model
    inner = unwrapped(model)
    embedding, head = inner.get_input_embeddings(), inner.get_output_embeddings()
    if head is not None and hasattr(head, "base_layer") and head.weight is embedding.weight:
        head.base_layer.weight = nn.Parameter(head.weight.detach().clone())
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", "(Model with `tie|Input and output embeddings)"
        )  # they are two by now
        return model.merge_and_unload().requires_grad_(True)


def disable_dropout(model: nn.Module) -> None:
    """Set every dropout probability to 0 but those kept; `train()` may then be called without changing a score.

    The dropout of adapters and gates is off except where `adapters.drop_out` switches it on.
    """
    for path, module in model.named_modules():
        if keeps_dropout(path):
            module.eval()
            continue
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        for name, value in vars(module).items():
            if "drop" in name and isinstance(value, float):  # layerdrop too
                setattr(module, name, 0.0)


def layers_of(model: Any) -> list[nn.Module]:
    """Return the layers of the decoder, in order."""
    count = model.config.get_text_config().num_hidden_layers
    for module in decoder_of(model).modules():
        if isinstance(module, nn.ModuleList) and len(module) == count:
            return list(module)
    raise RunError(f"{type(model).__name__}: its {count} decoder layers were not found")


def recompute(model: Any) -> None:
    """Turn on gradient checkpointing: the backward computes activations inside layers again.

    transformers does that in modules that train only, and loads models as ones that do not.
    """
    model.activation_checkpointing_enable({"use_reentrant": False})
    for module in model.modules():
        if hasattr(module, "gradient_checkpointing"):
            module.training = True  # itself, and nothing inside it


def block_of(layer: nn.Module, kind: str) -> nn.Module:
    """Return the block of a layer of this kind: the first child so named that has children (a norm has none)."""
    for name, child in layer.named_children():
        if any(part in name for part in BLOCKS[kind]) and any(True for _ in child.children()):
            return child
    names = ", ".join(name for name, _ in layer.named_children())
    raise RunError(
        f"{type(layer).__name__} has no {kind} block among {names}: ref_activations cannot be read"
    )
