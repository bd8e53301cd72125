"""What an attribute model has beside its decoder and its heads: a gate on the prompt, and what verbosity costs."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from alignlab.errors import ConfigError

FILE = "attribute_gate.safetensors"
"""The file of these weights in the folder of a model, which transformers leaves alone."""


class AttributeGate(nn.Module):
    """Weights of attributes by prompt, of ArmoRM, arXiv:2406.12845: softmax(network(prompt) / temperature) * scale.

    `penalties` `[A]` say how much of the value of the attribute `verbosity` is taken off each attribute's. The last
    layer of the network starts at 0, so that a score starts as the mean of all attributes.
    """

    penalties: Tensor

    def __init__(
        self, attributes: int, *, hidden: int, width: int, layers: int, dropout: float, temperature: float
    ) -> None:
        super().__init__()
        self.temperature = temperature
        sizes = [hidden, *[width] * layers]
        inner: list[nn.Module] = []
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)  # the same at every call, so that ranks and restarts agree
            for before, after in pairwise(sizes):
                inner += [nn.Linear(before, after), nn.ReLU(), nn.Dropout(dropout)]
            last = nn.Linear(sizes[-1], attributes)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.network = nn.Sequential(*inner, last)
        self.scale = nn.Parameter(torch.ones(1))  # engines that spread weights take no scalars
        self.register_buffer("penalties", torch.zeros(attributes))

    def weights(self, prompts: Float[Tensor, "*N hidden"]) -> Float[Tensor, "*N A"]:
        """Return the weight of each attribute for prompts, given as hidden states; they sum to the scale."""
        return gated(self.network(prompts.to(self.scale.dtype)), self.temperature) * self.scale

    def forward(
        self, prompts: Float[Tensor, "*N hidden"], rewards: Float[Tensor, "*N A"], verbosity: int | None
    ) -> Float[Tensor, "*N"]:
        """Return scores: the sum over attributes of weight times reward, rewards without their part of verbosity."""
        if verbosity is not None:
            rewards = debiased(rewards, self.penalties, verbosity)
        return (self.weights(prompts) * rewards).sum(dim=-1)


def gated(logits: Float[Tensor, "*N A"], temperature: float) -> Float[Tensor, "*N A"]:
    """Return the weights of attributes before their scale: softmax(logits / temperature)."""
    return (logits / temperature).softmax(dim=-1)


def debiased(
    rewards: Float[Tensor, "*N A"], penalties: Float[Tensor, "A"], verbosity: int
) -> Float[Tensor, "*N A"]:
    """Return rewards of attributes less `penalties` times that of the attribute with the number `verbosity`.

    >>> debiased(torch.tensor([0.8, 0.3, 0.6]), torch.tensor([0.1, 1.0, 0.2]), 1)
    tensor([0.7700, 0.0000, 0.5400])
    """
    return rewards - penalties * rewards[..., verbosity, None]


def settings_of(model: Any) -> dict[str, Any]:
    """Return what the folder that a model was loaded from says of its attributes; nothing where it is no such model."""
    return dict(getattr(model.config, "alignlab_attributes", None) or {})


def restore(gate: AttributeGate, model: Any) -> None:
    """Put the weights beside a model into a gate; ConfigError where that is of another size."""
    stored = load_file(Path(model.name_or_path) / FILE)
    own = gate.state_dict()
    if {name: value.shape for name, value in stored.items()} != {
        name: value.shape for name, value in own.items()
    }:
        raise ConfigError(
            f"model.path={model.name_or_path} is an attribute model with a gate of another size: set policy.gate_width "
            "and policy.gate_layers as it was trained"
        )
    gate.load_state_dict(stored)


def save(gate: AttributeGate, folder: Path) -> None:
    """Write the weights of a gate into the folder of a model."""
    save_file({name: value.detach().contiguous() for name, value in gate.state_dict().items()}, folder / FILE)


def named(attributes: Sequence[str]) -> dict[str, Any]:
    """Return the entries of a classifier's config that name its labels."""
    return {
        "id2label": dict(enumerate(attributes)),
        "label2id": {name: number for number, name in enumerate(attributes)},
    }
