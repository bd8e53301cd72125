"""Measures the memory of a forward and backward on tensors without data, for any architecture of any size.

The code that runs is that of the training: transformers' decoder with our packing, and our head. Only the tensors
are fake (torch's FakeTensorMode), so that nothing is computed, and each is counted as long as it lives.
"""

import weakref
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, no_type_check

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from alignlab.policies.causal_lm.decoder import decoder_of, disable_dropout, layers_of, unwrapped
from alignlab.policies.causal_lm.head import Head, token_scores
from alignlab.policies.causal_lm.packing.forms import PADDED, choose
from alignlab.policies.causal_lm.packing.tiles import Plan
from alignlab.types import Batch

COPYING = {torch.ops.aten.logsumexp.default}
"""The operations that hold a copy of their input while they run."""
ADDING = {torch.ops.aten.add_.Tensor}
"""The operations that hold a copy of what they add, in the dtype of the sum, while they run on a CPU."""


@dataclass(frozen=True)
class Pass:
    """The way in which a model runs over a micro-batch."""

    names: Collection[str] = ("logps",)
    """The quantities that the head computes, of `distributions.QUANTITIES`."""
    autocast: bool = False
    """Whether float32 weights compute in bfloat16."""
    training: bool = True
    """Whether a backward follows; without it, no gradients are kept, as in a pass of a reference."""
    checkpointing: bool = False
    """Whether activations of layers are computed again in the backward."""
    packing: str = "auto"
    device: str = "cuda"
    """The type of device whose attention tiles and chunks of logits are used."""


@dataclass(frozen=True)
class Working:
    """The bytes of a forward and backward beside weights and gradients; each is linear in layers, and in lists."""

    kept: float
    """The bytes alive between the decoder's forward and its backward."""
    forward: float
    """The bytes beyond `kept` at the peak of the decoder's forward."""
    head: float
    """The bytes beyond `kept` at the peak of the head's forward and backward."""
    backward: float
    """The bytes beyond `kept` at the peak of the backward of the last layer, when all others still hold theirs."""
    end: float
    """All bytes at the peak of the backward of the first layer and of what is before it."""

    @property
    def peak(self) -> float:
        """The bytes at the worst moment."""
        return max(self.kept + max(self.forward, self.head, self.backward), self.end)


class Faked:
    """A model whose tensors have shapes and no data, so that it can be of any size.

    `build` makes the model. Raises whatever its architecture raises on such tensors: one whose shapes depend on
    values (a router that counts its tokens) cannot be faked.
    """

    def __init__(self, build: Callable[[], Any], run: Pass) -> None:
        self.run, self._mode = run, FakeTensorMode(allow_non_fake_inputs=True)
        with torch.device("meta"):
            self.model = build()
        with self._mode:
            _to_cpu(self.model)
        disable_dropout(self.model)
        if run.checkpointing:
            self.model.activation_checkpointing_enable()
        self._form = choose(unwrapped(self.model), run.packing)

    @property
    def packed(self) -> bool:
        """Whether each prompt is read once for all its responses."""
        return self._form != PADDED

    def working(self, batch: Batch) -> Working:
        """Measure the bytes that the model needs to run over a micro-batch."""
        inputs, _, source_T = self._form.lay(batch)
        if "packed" in inputs:
            inputs = {**inputs, "packed": Plan(batch, self.run.device)}
        source_R, targets_R = source_T[batch.is_response], batch.tokens[batch.is_response]
        training, model = self.run.training, self.model.train(self.run.training)
        cast = torch.autocast("cpu", torch.bfloat16) if self.run.autocast else nullcontext()
        with self._mode, torch.set_grad_enabled(training):
            for weight in model.parameters():
                weight.grad = torch.zeros_like(weight) if training and weight.requires_grad else None
            gradients = [weight.grad for weight in model.parameters() if weight.grad is not None]
            there = [*model.parameters(), *model.buffers(), *gradients]
            with LiveBytes(there, self.run.device) as live, cast:
                with _outputs(layers_of(model)) as outputs:
                    states = decoder_of(model)(**inputs, use_cache=False).last_hidden_state.flatten(0, 1)
                    hidden = states[source_R]
                    del states
                kept, forward = live.now, live.phase()
                phases: dict[str, int] = {}
                if training:
                    _when_graded(hidden, lambda: phases.update(head=live.phase()))
                    _when_graded(outputs[-1], lambda: phases.update(backward=live.phase()))
                    _when_graded(outputs[0], lambda: phases.update(rest=live.phase()))
                outputs.clear()
                self._head(hidden, targets_R)
                last = live.phase()
        if not training:
            return Working(float(kept), float(forward - kept), float(last - kept), 0.0, 0.0)
        forward, head, backward = (most - kept for most in (forward, phases["head"], phases["backward"]))
        return Working(float(kept), float(forward), float(head), float(backward), float(last))

    def _head(self, hidden: Tensor, targets: Tensor) -> None:
        """Run the head on hidden states, and the backward of everything."""
        head, names = Head(self.model), list(self.run.names)
        against = hidden.detach(), head
        scores = token_scores(hidden, targets, head, names=names, reference=against, device=self.run.device)
        if self.run.training:
            torch.autograd.backward([value.sum() for value in scores.values()])


def _to_cpu(model: nn.Module) -> None:
    """Give a model on the meta device tensors on the CPU; those that modules share stay shared."""
    converted: dict[int, tuple[Tensor, Tensor]] = {}
    for module in model.modules():
        parts: tuple[dict[str, Any], ...] = (module._parameters, module._buffers)
        for tensors in parts:
            for name, tensor in tensors.items():
                if tensor is None:
                    continue
                if id(tensor) not in converted:
                    empty = torch.empty_like(tensor, device="cpu")
                    is_weight = isinstance(tensor, nn.Parameter)
                    new = nn.Parameter(empty, tensor.requires_grad) if is_weight else empty
                    converted[id(tensor)] = tensor, new  # the old one too, so that its id is not given again
                tensors[name] = converted[id(tensor)][1]


def _when_graded(tensor: Tensor, call: Callable[[], None]) -> None:
    """Call a function once the gradient of a tensor is computed, before the backward continues."""
    tensor.register_hook(lambda _: call())  # type: ignore[no-untyped-call]


@contextmanager
def _outputs(layers: Sequence[nn.Module]) -> Iterator[list[Tensor]]:
    """Collect the outputs of the first layer and of the last but one when they run."""
    outputs: list[Tensor] = []

    def note(layer: nn.Module, inputs: Any, output: Any) -> None:
        outputs.append(output[0] if isinstance(output, tuple) else output)

    hooks = [layer.register_forward_hook(note) for layer in (layers[0], layers[max(0, len(layers) - 2)])]
    try:
        yield outputs
    finally:
        for hook in hooks:
            hook.remove()


class LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of new tensors as long as they live, without those of `existing` ones.

    What an operation holds while it runs depends on the type of device.
    """

    def __init__(self, existing: Iterable[Tensor] = (), device: str = "cuda") -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.device = device
        self.now = self.most = 0
        self._known = {tensor.untyped_storage()._cdata for tensor in existing}

    def phase(self) -> int:
        """The largest number of live bytes since the last call."""
        most, self.most = self.most, self.now
        return most

    @no_type_check  # called for every operation
    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation, and count the tensors that it makes."""
        result = function(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self._see(leaf.untyped_storage())
        self.most = max(self.most, self.now + self._inside(function, args))
        return result

    def _inside(self, function: Any, args: Any) -> int:
        """Return the bytes that an operation holds while it runs, beside its inputs and results."""
        if function in COPYING:
            return args[0].nbytes
        casts = function in ADDING and isinstance(args[1], Tensor) and args[1].dtype != args[0].dtype
        return args[1].numel() * args[0].itemsize if casts and self.device == "cpu" else 0

    def _see(self, storage: Any) -> None:
        key = storage._cdata
        if key not in self._known:
            self._known.add(key)
            self.now += storage.nbytes()
            weakref.finalize(storage, self._gone, key, storage.nbytes())

    def _gone(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size


def even_batch(lists: int, responses: int, prompt: int, response: int) -> Batch:
    """A micro-batch of equal lists: `prompt` and `response` are lengths in tokens."""
    starts = [prompt, *[response] * responses]
    spans = torch.tensor(starts * lists)
    rows = torch.arange(lists * responses).view(lists, responses)
    row = torch.cat([torch.full((lists, 1), -1), rows], dim=1).flatten()
    first = torch.tensor([0, *[prompt] * responses] * lists)
    ends = spans.cumsum(0)
    place = torch.arange(int(ends[-1]))
    return Batch(
        tokens=torch.zeros_like(place),
        positions=place - (ends - spans - first).repeat_interleave(spans),
        prompt=torch.arange(lists).repeat_interleave(len(starts)).repeat_interleave(spans),
        row=row.repeat_interleave(spans),
        slot=rows,
        labels=torch.zeros(lists, responses),
        weights=torch.ones(lists),
        ids=tuple(map(str, range(lists))),
    )
