"""The memory that a training takes on each GPU: numbers in, bytes out."""

from dataclasses import dataclass, fields

GIB = 2**30
CARDS = {"40 GB": 39.4 * GIB, "80 GB": 79.1 * GIB, "141 GB": 139.8 * GIB}
"""What a process can have of a card of that name."""
CONTEXT, NCCL = 0.6 * GIB, 0.5 * GIB
"""Of CUDA and its libraries in every process, and of their traffic where there are several."""
SLACK = 0.05
"""What the allocator cannot use again, as a share of the memory that comes and goes."""
IN_FLIGHT = 2
"""Layers put together at a time: the one that runs, and the next."""
MASTER = 4.0
"""Bytes of a weight, or a sum of gradients, that an engine keeps in float32."""


@dataclass(frozen=True)
class Elements:
    """How many numbers a model's weights are."""

    all: int
    trainable: int
    layer: int
    """Of its largest decoder layer."""
    outside: int
    """Of embeddings, final norm and head."""

    def put_together(self) -> int:
        """What a rank holds whole at a time, of a model whose layers are spread over ranks."""
        return self.outside + IN_FLIGHT * self.layer


@dataclass(frozen=True)
class Widths:
    """Bytes of a number."""

    stored: float
    """Of a weight as it is loaded and kept."""
    computed: float
    """Of a weight as the forward takes it, where an engine keeps another."""
    states: float
    """Of all that the optimizer keeps of a trainable weight."""


@dataclass(frozen=True)
class Spread:
    """What a strategy divides by the number of ranks, and what it adds."""

    weights: bool = False
    gradients: bool = False
    optimizer: bool = False
    own_precision: bool = False
    """The forward takes weights in low precision from the engine, and not by autocast."""
    own_weights: bool = False
    """Weights are kept in the precision of the forward; the optimizer has its own, and sums gradients, in float32."""
    gradient_copy: bool = False
    """Gradients travel from a second copy."""
    bucket: int = 0
    """Numbers in a buffer of traffic; there are two of them."""
    on_host: bool = False
    """Weights and optimizer states wait in the memory of the machine."""
    stays_whole: bool = False
    """Layers, once put together, stay so until their backward."""


BUCKET = 2 * 10**8
"""Elements in a buffer of DeepSpeed's."""
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
"""By the name of the strategy."""


@dataclass(frozen=True)
class Working:
    """Bytes that come and go with a micro-batch."""

    activations: float
    """Kept from the forward for the backward."""
    casts: float
    """Weights in the precision of autocast, kept as long as a step."""
    peak: float
    """On top of these at the worst moment: a chunk of logits, a layer computed again, gradients on their way."""


@dataclass(frozen=True)
class Footprint:
    """Bytes on a GPU, by what they are for."""

    weights: float = 0.0
    gradients: float = 0.0
    optimizer: float = 0.0
    reference: float = 0.0
    put_together: float = 0.0
    """Layers and their gradients that are whole for a moment, of what is spread over ranks."""
    buffers: float = 0.0
    """Of traffic between ranks."""
    activations: float = 0.0
    casts: float = 0.0
    peak: float = 0.0
    cuda: float = 0.0

    @property
    def total(self) -> float:
        """All parts together."""
        return sum(getattr(self, part.name) for part in fields(self))


def training(
    model: Elements, widths: Widths, spread: Spread, ranks: int, working: Working, *, reference: float = 0.0
) -> Footprint:
    """A GPU in the middle of a step, when gradients of earlier micro-batches are there too."""
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
    """Weights put together; their gradients, and what those are summed over ranks in."""
    whole = model.all if spread.stays_whole else model.put_together()
    gradients = model.put_together() * model.trainable / model.all
    return whole * widths.computed + gradients * (widths.computed + max(widths.stored, MASTER))


def scoring(weights: float, ranks: int, working: Working) -> Footprint:
    """A GPU in the pass of a reference, before anything trains."""
    return Footprint(
        reference=weights,
        activations=working.activations,
        casts=working.casts,
        peak=working.peak,
        cuda=overhead(working, ranks),
    )


def optimizer_bytes(model: Elements, widths: Widths, spread: Spread) -> float:
    """States of all trainable weights, with the engine's own weights where it has them."""
    return model.trainable * (widths.states + (MASTER if spread.own_weights else 0))


def host(model: Elements, widths: Widths, spread: Spread, ranks: int) -> float:
    """Bytes that each rank keeps in the memory of its machine."""
    if not spread.on_host:
        return 0.0
    return (model.all * widths.computed + optimizer_bytes(model, widths, spread)) / ranks


def frozen(model: Elements, width: float, ranks: int, *, spread: bool) -> float:
    """A model that only scores: whole, or its layers spread over the ranks and put together one after another."""
    if not spread or ranks == 1:
        return model.all * width
    return ((model.all - model.outside) / ranks + model.put_together()) * width


def overhead(working: Working, ranks: int) -> float:
    """CUDA itself, traffic, and what the allocator wastes."""
    moving = working.activations + working.peak
    return CONTEXT + (NCCL if ranks > 1 else 0.0) + SLACK * moving
