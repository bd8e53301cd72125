"""The memory of a forward and backward, found out on tensors without data: of any architecture, of any size.

The code that runs is that of the training: transformers' decoder with our packing, and our head. Only the tensors
are fake (torch's FakeTensorMode), so that nothing is computed, and every one of them is counted as long as it lives.
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
"""Operations that hold a copy of what they take while they run."""


@dataclass(frozen=True)
class Pass:
    """How a model is run over a micro-batch."""

    names: Collection[str] = ("logps",)
    """Quantities of the head, of `head.QUANTITIES`."""
    autocast: bool = False
    """Float32 weights, computed with in bfloat16."""
    training: bool = True
    """With a backward; else without gradients, as a reference is scored."""
    checkpointing: bool = False
    """Activations of layers are computed again in the backward."""
    packing: str = "auto"
    device: str = "cuda"
    """Whose way to cut up the attention, and whose size of a chunk of logits."""


@dataclass(frozen=True)
class Working:
    """Bytes of a forward and backward beside weights and their gradients: straight lines in layers, and in lists."""

    kept: float
    """Alive between the decoder's forward and its backward."""
    forward: float
    """More than `kept` at the peak of the decoder's forward."""
    head: float
    """The same of the head's forward and backward."""
    backward: float
    """The same of the backward of the last layer, when all other layers still have what they kept."""
    end: float
    """All there is at the peak of the backward of the first layer and what is before it."""

    @property
    def peak(self) -> float:
        """At the worst moment."""
        return max(self.kept + max(self.forward, self.head, self.backward), self.end)


class Faked:
    """A model whose tensors have shapes and no data.

    `build` makes it, and may make it of any size. Raises what its architecture raises on such tensors: one whose
    shapes are decided by values (a router that counts its tokens) cannot be faked.
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
        """What it needs to run over a micro-batch."""
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
            with Held([*model.parameters(), *model.buffers(), *gradients]) as held, cast:
                with _outputs(layers_of(model)) as outputs:
                    states = decoder_of(model)(**inputs, use_cache=False).last_hidden_state.flatten(0, 1)
                    hidden = states[source_R]
                    del states
                kept, forward = held.now, held.phase()
                phases: dict[str, int] = {}
                if training:
                    _when_graded(hidden, lambda: phases.update(head=held.phase()))
                    _when_graded(outputs[-1], lambda: phases.update(backward=held.phase()))
                    _when_graded(outputs[0], lambda: phases.update(rest=held.phase()))
                outputs.clear()
                self._head(hidden, targets_R)
                last = held.phase()
        if not training:
            return Working(float(kept), float(forward - kept), float(last - kept), 0.0, 0.0)
        forward, head, backward = (most - kept for most in (forward, phases["head"], phases["backward"]))
        return Working(float(kept), float(forward), float(head), float(backward), float(last))

    def _head(self, hidden: Tensor, targets: Tensor) -> None:
        """From hidden states to the end: the head, and everything's backward."""
        head, names = Head(self.model), list(self.run.names)
        against = hidden.detach(), head
        found = token_scores(hidden, targets, head, names=names, reference=against, device=self.run.device)
        if self.run.training:
            torch.autograd.backward([value.sum() for value in found.values()])


def _to_cpu(model: nn.Module) -> None:
    """Let a model of the meta device have tensors of the CPU; those that modules share stay shared."""
    made: dict[int, tuple[Tensor, Tensor]] = {}
    for module in model.modules():
        parts: tuple[dict[str, Any], ...] = (module._parameters, module._buffers)
        for held in parts:
            for name, tensor in held.items():
                if tensor is None:
                    continue
                if id(tensor) not in made:
                    empty = torch.empty_like(tensor, device="cpu")
                    is_weight = isinstance(tensor, nn.Parameter)
                    new = nn.Parameter(empty, tensor.requires_grad) if is_weight else empty
                    made[id(tensor)] = tensor, new  # the old one too, so that its id is not given again
                held[name] = made[id(tensor)][1]


def _when_graded(tensor: Tensor, call: Callable[[], None]) -> None:
    """Call when the gradient of a tensor is there, before it goes further back."""
    tensor.register_hook(lambda _: call())  # type: ignore[no-untyped-call]


@contextmanager
def _outputs(layers: Sequence[nn.Module]) -> Iterator[list[Tensor]]:
    """The outputs of the first layer and of the last but one, once they ran."""
    found: list[Tensor] = []

    def note(layer: nn.Module, given: Any, made: Any) -> None:
        found.append(made[0] if isinstance(made, tuple) else made)

    hooks = [layer.register_forward_hook(note) for layer in (layers[0], layers[max(0, len(layers) - 2)])]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


class Held(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of tensors that are made, as long as they live."""

    def __init__(self, known: Iterable[Tensor] = ()) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.most = 0
        self._known = {tensor.untyped_storage()._cdata for tensor in known}

    def phase(self) -> int:
        """The most bytes since the last call."""
        most, self.most = self.most, self.now
        return most

    @no_type_check  # called for every operation
    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation, and look at what it made."""
        made = function(*args, **(kwargs or {}))
        for leaf in tree_leaves(made):
            if isinstance(leaf, Tensor):
                self._see(leaf.untyped_storage())
        inside = args[0].nbytes if function in COPYING else 0
        self.most = max(self.most, self.now + inside)
        return made

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
    """A micro-batch of equal lists: so many, with so many responses, of so many tokens."""
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
