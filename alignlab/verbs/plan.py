"""The memory that a run would take on each GPU.

alignlab plan shape=llama-8b strategy=fsdp2 trainer.devices=8

    shape=llama-8b    a well-known size instead of the config's model
    responses=2       responses of a list
    prompt=512        tokens of a prompt
    response=256      tokens of a response
    advice=true       false: leave out what brings it down

Takes the overrides of train (trainer.devices=8 trainer.num_nodes=2 ...). The model is that of the config, of which
config.json is enough, or a well-known size. Nothing is loaded or trained, and no GPU is needed: the code of the
training runs over tensors without data.
"""

from collections.abc import Sequence
from dataclasses import fields

from alignlab.console import print_table
from alignlab.planner.footprint import Forecast, forecast, knobs
from alignlab.planner.growth import Lists
from alignlab.planner.memory import CARDS, GIB, Footprint
from alignlab.verbs.words import flag, read, text, whole

MOST_TOKENS = 1_000_000
"""The longest prompt or response that is planned for."""
KEYS = {
    "shape": text(),
    "responses": whole(2, most=1000),
    "prompt": whole(512, most=MOST_TOKENS),
    "response": whole(256, most=MOST_TOKENS),
    "advice": flag(True),
}
SHOWN = 0.005
"""The size in GiB below which a part is not printed."""
NAMES = {
    "weights": "weights",
    "gradients": "gradients",
    "optimizer": "optimizer states",
    "reference": "weights of the reference",
    "put_together": "layers put together, and their gradients",
    "buffers": "buffers of traffic",
    "activations": "activations",
    "casts": "bfloat16 copies of weights (autocast)",
    "peak": "logits, and the peak of the backward",
    "cuda": "CUDA, libraries, allocator",
}


def run(words: Sequence[str]) -> None:
    """Forecast the memory of a run, and print where it goes."""
    typed = read(words, KEYS, overrides=True)
    own = typed.own
    lists = Lists(own.responses, own.prompt, own.response)
    plan = forecast(typed.overrides, lists, own.shape)
    _show(plan)
    if own.advice:
        _show_knobs(plan, dict(knobs(typed.overrides, lists, own.shape, plan)))


def _show(plan: Forecast) -> None:
    """Print what is planned for, where the memory goes, and the cards on which it fits."""
    print("\n".join(_facts(plan)))
    scoring, training = plan.scoring(), plan.training()
    columns = {"training": training} | ({"reference pass": scoring} if scoring else {})
    print_table("GiB on each GPU", ["", *columns], [*_parts(columns), ["together", *_totals(columns)]])
    if plan.host:
        print(f"and {plan.host / GIB:,.0f} GiB of each machine's own memory")
    rows = [[card, _verdict(plan, room), _largest(plan, room)] for card, room in CARDS.items()]
    print_table("cards", ["", "with this data.microbatch_tokens", "largest that fits"], rows)


def _facts(plan: Forecast) -> list[str]:
    """Return the lines that say in words what is planned for."""
    size, shape = plan.elements, plan.shape
    trained = "" if size.trainable == size.all else f", {size.trainable / 1e6:,.1f} M of them trained"
    reads = "each prompt once" if plan.growth.packed else "a prompt before each response"
    activations = "computed again in the backward" if plan.checkpointing else "kept"
    return [
        f"{plan.model}: {size.all / 1e9:,.3f} B parameters{trained}",
        f"{plan.strategy} on {plan.ranks} GPU{'s' * (plan.ranks > 1)}, {plan.precision}, activations {activations}",
        f"objective {plan.objective}, reference {plan.reference}",
        f"micro-batches of {plan.lists} lists: {shape.responses} responses of {shape.response} tokens to a prompt of "
        f"{shape.prompt}, {reads}: {plan.lists * plan.list_tokens:,} tokens",
    ]


def _parts(columns: dict[str, Footprint]) -> list[list[str]]:
    """Return a row for every part of the memory that any column has."""
    rows = []
    for field in fields(Footprint):
        values = [getattr(each, field.name) for each in columns.values()]
        if max(values) >= SHOWN * GIB:
            rows.append([NAMES[field.name], *(f"{value / GIB:,.2f}" if value else "" for value in values)])
    return rows


def _totals(columns: dict[str, Footprint]) -> list[str]:
    return [f"{each.total / GIB:,.2f}" for each in columns.values()]


def _verdict(plan: Forecast, room: float) -> str:
    """Return whether a card of so many bytes holds the run, in words."""
    scoring = plan.scoring()
    most = max(plan.training().total, scoring.total if scoring else 0.0)
    left = (room - most) / GIB
    return f"fits, {left:,.1f} GiB left" if left >= 0 else f"does not fit, {-left:,.1f} GiB too much"


def _largest(plan: Forecast, room: float) -> str:
    tokens = plan.largest(room)
    return f"{tokens:,}" if tokens else "not one list"


def _show_knobs(plan: Forecast, ways: dict[str, Forecast]) -> None:
    """Print the change, in GiB, that each setting alone would make."""
    if not ways:
        return
    now = plan.training().total
    rows = []
    for setting, changed in sorted(ways.items(), key=lambda way: way[1].training().total):
        then = changed.training().total
        fits = ", ".join(card for card, room in CARDS.items() if then <= room) or "none"
        rows.append([setting, f"{then / GIB:,.1f}", f"{(then - now) / GIB:+,.1f}", fits])
    print_table("what brings it down, each alone", ["", "GiB", "change", "fits"], rows)
