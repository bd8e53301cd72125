"""Chooses the form of a batch that a model takes, by trials on a tiny copy of its architecture, not by its name."""

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
from alignlab.policies.causal_lm.packing.tiny_copy import Exact, first_line, tiny_batch, tiny_copy
from alignlab.types import Batch

log = logging.getLogger(__name__)

PACKING = ("auto", "on", "off")
TOLERANCE = 1e-9
ATTENTION = {"full_attention", "sliding_attention", "chunked_attention"}
"""The types of layers that read other tokens by attention alone."""


class Form(NamedTuple):
    """A way to lay out batches for a model."""

    lay: Callable[[Batch], Layout]
    prepare: Callable[[Any], None] = lambda model: None
    """Prepares a model for batches of this form."""


PADDED = Form(padded)


def choose(model: Any, packing: str = "auto") -> Form:
    """Choose the fastest form that is exact for a model, prepare the model for it, and log which and why.

    Raises ConfigError where packing is `on` and no packed form is exact.
    """
    one_of("model.packing", packing, PACKING)
    name = type(model).__name__
    form, best, reason = (PADDED, "", "model.packing=off") if packing == "off" else fastest(model)
    if best:
        log.info("packing: %s for %s, exact on a tiny copy; each prompt is read once", best, name)
        return form
    if packing == "on":
        raise ConfigError(f"{name} cannot be packed exactly ({reason}): use model.packing=auto")
    log.info("packing: none for %s (%s); every response is read behind a copy of its prompt", name, reason)
    return form


def fastest(model: Any) -> tuple[Form, str, str]:
    """The fastest form that is exact for a model, which is prepared for it; its name, and the faults of others.

    The padded form has no name.
    """
    settings = model.config.to_json_string(use_diff=False)
    best, reason = _tried(type(model), type(model.config), settings, _plain(model))  # type: ignore[arg-type]
    form = candidates(model)[best] if best else PADDED
    form.prepare(model)
    return form, best, reason


def candidates(model: Any) -> dict[str, Form]:
    """The packed forms of a model by name, the fastest first; masks are for attention that takes nothing else."""
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
    """The name of the first form that is exact for an architecture, or "", and the faults of those before it."""
    try:
        copy: Any = tiny_copy(model, config, json.loads(settings), attention)
        expected = _outcome(copy, PADDED)
    except Exception as error:  # whatever an unknown architecture raises
        return "", f"no tiny copy of it: {first_line(error)}"
    faults = [] if (forms := candidates(copy)) else ["its layers are not of attention alone"]
    for name, form in forms.items():
        try:
            form.prepare(copy)
            gap = _gap(expected, _outcome(copy, form))
        except Exception as error:
            faults.append(f"{name}: {first_line(error)}")
            continue
        if gap <= TOLERANCE:
            return name, "; ".join(faults)
        faults.append(f"{name}: off by {gap:.1g}")
    return "", "; ".join(faults)


def _outcome(model: Any, form: Form) -> list[Tensor]:
    """The hidden states at which tokens are read and predicted, and the gradients of all weights."""
    batch = tiny_batch()
    with Exact(), torch.enable_grad():  # type: ignore[no-untyped-call]
        layout = form.lay(batch)
        states = decoder_of(model)(**layout.inputs, use_cache=False).last_hidden_state.flatten(0, 1)
        hidden = states[torch.cat([layout.place, layout.source[layout.source >= 0]])]
        weights = torch.linspace(-1, 1, hidden.numel(), dtype=hidden.dtype).cos().view_as(hidden)
        parameters = list(decoder_of(model).parameters())
        gradients = torch.autograd.grad((hidden * weights).sum(), parameters, allow_unused=True)
    return [hidden.detach(), *(torch.zeros(()) if g is None else g for g in gradients)]


def _gap(expected: Sequence[Tensor], actual: Sequence[Tensor]) -> float:
    """The largest difference between tensors, relative where values are large."""
    pairs = zip(expected, actual, strict=True)
    return torch.stack([(a - b).abs().max() / a.abs().max().clamp(min=1) for a, b in pairs]).max().item()


def _plain(model: Any) -> str:
    """The attention implementation with which a copy is tried, on CPU and in float64."""
    own = model.config._attn_implementation.removeprefix(PREFIX)
    return own if own in ("eager", "sdpa") else "sdpa" if model._supports_sdpa else "eager"
