"""What is tried of a model before it draws: that it is whole, and that a shared cache gives its own logits."""

from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from alignlab.errors import ConfigError
from alignlab.sampling.context import Context, Reader

TOLERANCE = {torch.float64: 1e-8, torch.float32: 1e-3}
"""How far logits may be from the model's own, as a share of the largest; 0.1 in lower precision."""


def require_whole(model: Any) -> None:
    """Raise ConfigError where the weights of a model are spread over ranks (FSDP, ZeRO-3)."""
    wrapped = any(type(module).__name__ == "FullyShardedDataParallel" for module in model.modules())
    if wrapped or any(isinstance(p, DTensor) or hasattr(p, "ds_id") for p in model.parameters()):
        raise ConfigError(
            "the weights of this policy are spread over ranks (FSDP, ZeRO-3), and a sampler in its process would "
            "gather them for every token: train with strategy=ddp or single, or draw from the model of the finished "
            "run (alignlab generate run=<folder>)"
        )


def fault_of(model: Any) -> str:
    """Return why rows of several lengths cannot share this model's cache; empty where they can.

    Three short rows are read in two contexts that are joined, and a token is added; the logits have to be those of
    the rows read alone, without a cache.
    """
    try:
        reader = Reader(model)
        last = model.config.get_text_config().vocab_size - 1
        rows = [
            [7 % last, 3 % last, 5 % last],
            [2 % last],
            [11 % last, 1 % last, 4 % last, 9 % last, 6 % last],
        ]
        context = Context.of(reader, rows[:2])
        context.select(torch.tensor([0, 1, 1], device=reader.device))
        context.join(Context.of(reader, rows[2:]))
        context.advance(torch.full((4,), 8 % last, device=reader.device))
        context.select(torch.tensor([1, 0, 3], device=reader.device))
        alone = [_alone(reader, [*rows[i], 8 % last]) for i in (1, 0, 2)]
    except Exception as error:  # whatever an unknown architecture raises
        return f"{type(error).__name__}: {error}".partition("\n")[0][:200]
    expected = torch.stack(alone)
    gap = (context.logits - expected).abs().max() / expected.abs().max().clamp(min=1)
    return "" if gap <= TOLERANCE.get(expected.dtype, 0.1) else f"its logits are off by {gap:.1g}"


def _alone(reader: Reader, ids: list[int]) -> Tensor:
    """The logits behind a row that is read by itself."""
    hidden = reader.decoder(input_ids=torch.tensor([ids], device=reader.device), use_cache=False)
    return reader.head(hidden.last_hidden_state[:, -1])[0]
