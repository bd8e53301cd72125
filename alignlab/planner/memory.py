"""Computes the memory that a training takes on each GPU, in bytes, from numbers alone."""

from dataclasses import dataclass, fields

GIB = 2**30
CARDS = {"40 GB": 39.4 * GIB, "80 GB": 79.1 * GIB, "141 GB": 139.8 * GIB}
"""The bytes that a process can use of a card, by the name of the card."""
CONTEXT, NCCL = 0.6 * GIB, 0.5 * GIB
"""The bytes of CUDA and its libraries in every process, and of NCCL where there are several."""
SLACK = 0.05
"""The share of the memory that comes and goes which the allocator cannot use again."""
IN_FLIGHT = 2
"""The number of layers that are gathered at a time: the one that runs, and the next."""
MASTER = 4.0
"""The bytes of a weight, or of a sum of gradients, that an engine keeps in float32."""


@dataclass(frozen=True)
class Elements:
    """The numbers of elements of a model's weights."""

    all: int
    trainable: int
    layer: int
    """The elements of the largest decoder layer."""
    outside: int
    """The elements of embeddings, final norm and head."""

    def put_together(self) -> int:
        """The elements that a rank holds whole at a time, of a model whose layers are spread over ranks."""
        return self.outside + IN_FLIGHT * self.layer


@dataclass(frozen=True)
class Widths:
    """The bytes of an element, by what it is for."""

    stored: float
    """The bytes of a weight as it is loaded and kept."""
    computed: float
    """The bytes of a weight as the forward takes it, where an engine keeps another."""
    states: float
    """The bytes of all that the optimizer keeps for a trainable weight."""


@dataclass(frozen=True)
class Spread:
    """The memory that a strategy divides by the number of ranks, and the memory that it adds."""

    weights: bool = False
    gradients: bool = False
    optimizer: bool = False
    own_precision: bool = False
    """Whether the forward takes weights in low precision from the engine, and not by autocast."""
    own_weights: bool = False
    """Whether weights have the precision of the forward, and the optimizer has float32 weights and gradient sums."""
    gradient_copy: bool = False
    """Whether gradients are communicated from a second copy."""
    bucket: int = 0
    """The elements of a communication buffer, of which there are two."""
    on_host: bool = False
    """Whether weights and optimizer states are kept in the memory of the machine."""
    stays_whole: bool = False
    """Whether gathered layers stay whole until their backward."""


BUCKET = 2 * 10**8
"""The elements of a communication buffer of DeepSpeed."""
SPREADS = {
    "single": Spread(),
    "ddp": Spread(),
    "fsdp": Spread(weights=True, gradients=True, optimizer=True, own_precision=True),
    "fsdp2": Spread(weights=True, gradients=True, optimizer=True, own_precision=True),
    "deepspeed_zero1": Spread(
        optimizer=True, own_precision=True, own_weights=True, gradient_copy=True, bucket=BUCKET
    ),
    "deepspeed_zero2": Spread(
        gradients=True, optimizer=True, own_precision=True, own_weights=True, bucket=BUCKET
    ),
    "deepspeed_zero3": Spread(
        weights=True, gradients=True, optimizer=True, own_precision=True, own_weights=True, bucket=BUCKET
    ),
    "deepspeed_zero3_offload": Spread(
        weights=True,
        gradients=True,
        optimizer=True,
        own_precision=True,
        own_weights=True,
        bucket=BUCKET,
        on_host=True,
    ),
}
"""The spread of every strategy, by its name."""


@dataclass(frozen=True)
class Working:
    """The bytes that come and go with a micro-batch."""

    activations: float
    """The bytes of activations, kept from the forward for the backward."""
    casts: float
    """The bytes of weights in the precision of autocast, kept for an optimizer step."""
    peak: float
    """The further bytes at the worst moment: a chunk of logits, a layer computed again, gradients in flight."""


@dataclass(frozen=True)
class Footprint:
    """The bytes on a GPU, by what they are for."""

    weights: float = 0.0
    gradients: float = 0.0
    optimizer: float = 0.0
    reference: float = 0.0
    put_together: float = 0.0
    """The bytes of gathered layers and their gradients, of what is spread over ranks."""
    buffers: float = 0.0
    """The bytes of communication buffers."""
    activations: float = 0.0
    casts: float = 0.0
    peak: float = 0.0
    cuda: float = 0.0

    @property
    def total(self) -> float:
        """The bytes of all parts together."""
        return sum(getattr(self, part.name) for part in fields(self))


def training(
    model: Elements, widths: Widths, spread: Spread, ranks: int, working: Working, *, reference: float = 0.0
) -> Footprint:
    """The memory of a GPU in the middle of an optimizer step, gradients of earlier micro-batches included."""
    kept, summed = (widths.computed, MASTER) if spread.own_weights else (widths.stored, widths.stored)
    share = 1 / ranks
    weights = model.all * kept * (share if spread.weights else 1)
    gradients = model.trainable * summed * (share if spread.gradients else 1)
    optimizer = optimizer_bytes(model, widths, spread) * (share if spread.optimizer else 1)
    gathered = _gathered(model, widths, spread) if spread.weights else 0.0
    buffers = 2 * min(spread.bucket, model.trainable) * kept
    if spread.gradient_copy:
        buffers += model.trainable * kept
    return Footprint(
        weights=0.0 if spread.on_host else weights,
        gradients=gradients,
        optimizer=0.0 if spread.on_host else optimizer,
        reference=reference,
        put_together=gathered,
        buffers=buffers,
        activations=working.activations,
        casts=working.casts,
        peak=working.peak,
        cuda=overhead(working, ranks),
    )


def _gathered(model: Elements, widths: Widths, spread: Spread) -> float:
    """The bytes of gathered weights, of their gradients, and of the buffers in which these are summed over ranks."""
    whole = model.all if spread.stays_whole else model.put_together()
    gradients = model.put_together() * model.trainable / model.all
    return whole * widths.computed + gradients * (widths.computed + max(widths.stored, MASTER))


def scoring(weights: float, ranks: int, working: Working) -> Footprint:
    """The memory of a GPU in the pass of a reference, before the training."""
    return Footprint(
        reference=weights,
        activations=working.activations,
        casts=working.casts,
        peak=working.peak,
        cuda=overhead(working, ranks),
    )


def optimizer_bytes(model: Elements, widths: Widths, spread: Spread) -> float:
    """The bytes of the optimizer states of all trainable weights, with the engine's own weights where it has them."""
    return model.trainable * (widths.states + (MASTER if spread.own_weights else 0))


def host(model: Elements, widths: Widths, spread: Spread, ranks: int) -> float:
    """The bytes that each rank keeps in the memory of its machine."""
    if not spread.on_host:
        return 0.0
    return (model.all * widths.computed + optimizer_bytes(model, widths, spread)) / ranks


def frozen(model: Elements, width: float, ranks: int, *, spread: bool) -> float:
    """The bytes of a model that only scores: whole, or with layers spread over ranks and gathered one after another."""
    if not spread or ranks == 1:
        return model.all * width
    return ((model.all - model.outside) / ranks + model.put_together()) * width


def overhead(working: Working, ranks: int) -> float:
    """The bytes of CUDA, of communication, and of what the allocator wastes."""
    moving = working.activations + working.peak
    return CONTEXT + (NCCL if ranks > 1 else 0.0) + SLACK * moving
