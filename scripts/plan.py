"""The memory that a run would take on each GPU: `python scripts/plan.py --shape llama-7b strategy=fsdp2`.

Takes any overrides of train.py (trainer.devices=8 trainer.num_nodes=2 ...). The model is that of the config, of which
config.json is enough, or a well-known size. Nothing is loaded or trained, and no GPU is needed: the code of the
training runs over tensors without data.

    --responses 4     responses of a list             --prompt 512      tokens of a prompt
    --shape llama-8b  instead of the config's model   --response 256    tokens of a response
    --no-advice       leave out what brings it down
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields

from alignlab.console import print_table
from alignlab.errors import AlignlabError
from alignlab.planner.footprint import Forecast, forecast, knobs
from alignlab.planner.growth import Lists
from alignlab.planner.memory import CARDS, GIB, Footprint

SHOWN = 0.005
"""Parts below so many GiB are left out."""
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


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="as train.py takes them")
    parser.add_argument("--shape", help="a well-known size instead of the config's model")
    parser.add_argument("--responses", type=_count, default=2)
    parser.add_argument("--prompt", type=_count, default=512)
    parser.add_argument("--response", type=_count, default=256)
    parser.add_argument("--no-advice", action="store_true")
    chosen = parser.parse_intermixed_args(arguments)
    lists = Lists(chosen.responses, chosen.prompt, chosen.response)
    try:
        found = forecast(chosen.overrides, lists, chosen.shape)
        show(found)
        if not chosen.no_advice:
            show_knobs(found, dict(knobs(chosen.overrides, lists, chosen.shape, found)))
    except AlignlabError as error:
        sys.exit(f"error: {error}")


def show(found: Forecast) -> None:
    """What is planned for, where the memory goes, and on which cards it fits."""
    print("\n".join(facts(found)))
    scoring, training = found.scoring(), found.training()
    columns = {"training": training} | ({"reference pass": scoring} if scoring else {})
    print_table("GiB on each GPU", ["", *columns], [*parts(columns), ["together", *totals(columns)]])
    if found.host:
        print(f"and {found.host / GIB:,.0f} GiB of each machine's own memory")
    rows = [[card, verdict(found, room), largest(found, room)] for card, room in CARDS.items()]
    print_table("cards", ["", "with this data.microbatch_tokens", "largest that fits"], rows)


def facts(found: Forecast) -> list[str]:
    """What is planned for, in words."""
    size, shape = found.elements, found.shape
    trained = "" if size.trainable == size.all else f", {size.trainable / 1e6:,.1f} M of them trained"
    reads = "each prompt once" if found.growth.packed else "a prompt before each response"
    kept = "computed again in the backward" if found.checkpointing else "kept"
    return [
        f"{found.model}: {size.all / 1e9:,.3f} B parameters{trained}",
        f"{found.strategy} on {found.ranks} GPU{'s' * (found.ranks > 1)}, {found.precision}, activations {kept}",
        f"objective {found.objective}, reference {found.reference}",
        f"micro-batches of {found.lists} lists: {shape.responses} responses of {shape.response} tokens to a prompt of "
        f"{shape.prompt}, {reads}: {found.lists * found.list_tokens:,} tokens",
    ]


def parts(columns: dict[str, Footprint]) -> list[list[str]]:
    """A row for every part that any column has."""
    rows = []
    for field in fields(Footprint):
        values = [getattr(each, field.name) for each in columns.values()]
        if max(values) >= SHOWN * GIB:
            rows.append([NAMES[field.name], *(f"{value / GIB:,.2f}" if value else "" for value in values)])
    return rows


def totals(columns: dict[str, Footprint]) -> list[str]:
    return [f"{each.total / GIB:,.2f}" for each in columns.values()]


def verdict(found: Forecast, room: float) -> str:
    """Whether a card holds it."""
    scoring = found.scoring()
    most = max(found.training().total, scoring.total if scoring else 0.0)
    left = (room - most) / GIB
    return f"fits, {left:,.1f} GiB left" if left >= 0 else f"does not fit, {-left:,.1f} GiB too much"


def largest(found: Forecast, room: float) -> str:
    tokens = found.largest(room)
    return f"{tokens:,}" if tokens else "not one list"


def show_knobs(found: Forecast, ways: dict[str, Forecast]) -> None:
    """What each setting alone would come to."""
    if not ways:
        return
    now = found.training().total
    rows = []
    for text, made in sorted(ways.items(), key=lambda way: way[1].training().total):
        then = made.training().total
        fits = ", ".join(card for card, room in CARDS.items() if then <= room) or "none"
        rows.append([text, f"{then / GIB:,.1f}", f"{(then - now) / GIB:+,.1f}", fits])
    print_table("what brings it down, each alone", ["", "GiB", "change", "fits"], rows)


def _count(text: str) -> int:
    if not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"{text}: expected a whole number above 0")
    return int(text)


if __name__ == "__main__":
    main()
