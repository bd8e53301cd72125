"""Which form of a batch a model takes: found out on a tiny copy of its architecture, never from a list of names."""

import json
import logging
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from alignlab.errors import ConfigError, one_of
from alignlab.policies.causal_lm.decoder import decoder_of
from alignlab.policies.causal_lm.packing.layout import Layout, masked, padded
from alignlab.policies.causal_lm.packing.segments import PREFIX, install, packed
from alignlab.policies.causal_lm.packing.tiny_copy import Exact, tiny_batch, tiny_copy, told
from alignlab.types import Batch

log = logging.getLogger(__name__)

PACKING = ("auto", "on", "off")
TOLERANCE = 1e-9
ATTENTION = {"full_attention", "sliding_attention", "chunked_attention"}
"""Types of layers that look at other tokens by attention alone."""


class Form(NamedTuple):
    """A way to lay out batches."""

    lay: Callable[[Batch], Layout]
    prepare: Callable[[Any], None] = lambda model: None
    """What a model needs done to it first."""


PADDED = Form(padded)


def choose(model: Any, packing: str = "auto") -> Form:
    """The fastest form that is exact for a model, which is then prepared for it; logs which, and why.

    Raises ConfigError where packing is `on` and no packed form is exact.
    """
    one_of("model.packing", packing, PACKING)
    name, reason = type(model).__name__, "model.packing=off"
    if packing != "off":
        settings = model.config.to_json_string(use_diff=False)
        found, reason = _tried(type(model), type(model.config), settings, _plain(model))  # type: ignore[arg-type]
        if found:
            log.info("packing: %s for %s, exact on a tiny copy; each prompt is read once", found, name)
            form = candidates(model)[found]
            form.prepare(model)
            return form
    if packing == "on":
        raise ConfigError(f"{name} cannot be packed exactly ({reason}): use model.packing=auto")
    log.info("packing: none for %s (%s); every response is read behind a copy of its prompt", name, reason)
    return PADDED


def candidates(model: Any) -> dict[str, Form]:
    """Packed forms by name, the fastest first. Masks are for models whose attention takes nothing else."""
    config, mask = model.config, partial(masked, dtype=model.dtype)
    window = getattr(config, "sliding_window", None)
    kinds = set(getattr(config, "layer_types", None) or ())
    if not kinds <= ATTENTION:
        return {}  # state or convolutions along a row, which no mask stops
    forms = {"segments": Form(packed, install)}
    if kinds:
        windows = {kind: window if kind == "sliding_attention" else None for kind in kinds}
        forms["masks by layer type"] = Form(partial(mask, windows=windows), _take_masks)
    forms["masks"] = Form(mask, _take_masks)
    if window:
        forms["masks with a window"] = Form(partial(mask, window=window), _take_masks)
    return forms


def _take_masks(model: Any) -> None:
    model.set_attn_implementation(_plain(model))


@cache
def _tried(model: Any, config: Any, settings: str, attention: str) -> tuple[str, str]:
    """The first form that is exact for an architecture, if any, and why the others before it are not."""
    try:
        copy: Any = tiny_copy(model, config, json.loads(settings), attention)
        expected = _outcome(copy, PADDED)
    except Exception as error:  # whatever an unknown architecture raises
        return "", f"no tiny copy of it: {told(error)}"
    faults = [] if (forms := candidates(copy)) else ["its layers are not of attention alone"]
    for name, form in forms.items():
        try:
            form.prepare(copy)
            gap = _gap(expected, _outcome(copy, form))
        except Exception as error:
            faults.append(f"{name}: {told(error)}")
            continue
        if gap <= TOLERANCE:
            return name, "; ".join(faults)
        faults.append(f"{name}: off by {gap:.1g}")
    return "", "; ".join(faults)


def _outcome(model: Any, form: Form) -> list[Tensor]:
    """Hidden states where tokens are read and predicted, and the gradients of all weights."""
    batch = tiny_batch()
    with Exact(), torch.enable_grad():  # type: ignore[no-untyped-call]
        layout = form.lay(batch)
        states = decoder_of(model)(**layout.inputs, use_cache=False).last_hidden_state.flatten(0, 1)
        hidden = states[torch.cat([layout.place, layout.source[layout.source >= 0]])]
        weights = torch.linspace(-1, 1, hidden.numel(), dtype=hidden.dtype).cos().view_as(hidden)
        parameters = list(decoder_of(model).parameters())
        gradients = torch.autograd.grad((hidden * weights).sum(), parameters, allow_unused=True)
    return [hidden.detach(), *(torch.zeros(()) if g is None else g for g in gradients)]


def _gap(expected: Sequence[Tensor], found: Sequence[Tensor]) -> float:
    """The largest difference, relative where values are large."""
    pairs = zip(expected, found, strict=True)
    return torch.stack([(a - b).abs().max() / a.abs().max().clamp(min=1) for a, b in pairs]).max().item()


def _plain(model: Any) -> str:
    """The attention implementation to try a copy with, on CPU and in float64."""
    own = model.config._attn_implementation.removeprefix(PREFIX)
    return own if own in ("eager", "sdpa") else "sdpa" if model._supports_sdpa else "eager"
