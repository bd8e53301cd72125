"""Makes single responses, desirable or not, from rated lists."""

from dataclasses import replace

from alignlab.data.reading.rows import Drop
from alignlab.data.steps import Singles
from alignlab.data.tables.lists import take
from alignlab.data.transforms.margins import ends
from alignlab.errors import one_of
from alignlab.settings import AnyNumber
from alignlab.types import Example


def unpaired(example: Example, *, choose: str = "best_worst", threshold: AnyNumber = 0.5) -> Singles:
    """Make rows of one response with the label 1 (desirable) or 0: the data of KTO (arXiv:2402.01306) and BCO.

    With `choose` best_worst, the best response makes a desirable row and the worst an undesirable one
    (of equals the first); with all, every response makes a row, desirable where its label is at least
    `threshold`. A row of one response is judged by the threshold in both cases.
    """
    one_of("pipeline.unpaired.choose", choose, ("best_worst", "all"))
    labels = example.labels
    desirable = {i: labels[i] >= threshold for i in range(len(labels))}
    if choose == "best_worst" and len(labels) > 1:
        best, worst = ends(example)
        if labels[best] == labels[worst]:
            raise Drop("all responses have the same label")
        desirable = {best: True, worst: False}
    for place, good in desirable.items():
        yield replace(take(example, [place]), labels=[float(good)], id=f"{example.id}/{place}")
