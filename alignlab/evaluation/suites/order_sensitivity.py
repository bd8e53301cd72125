"""Order sensitivity, after ARO (arXiv:2210.01936): is a response preferred to the same words with another meaning."""

from alignlab.evaluation.suite import Line, Result, Subject, accuracy, by_meta, mistakes_in, records
from alignlab.uncertainty import weighted_sum

UNITS = ("words", "trigrams", "sentences", "attributes", "relations")
STEP = [
    "data.limit_at=start",
    "pipeline=[order_perturbed_negatives]",
    f"pipeline.order_perturbed_negatives.unit=[{','.join(UNITS)}]",
]


def run(subject: Subject) -> Result:
    """Score the best response of each row of any data against changed copies of it, a kind of change after the other.

    A tie counts one half: a bag of words, to which both are the same, is at 0.5.
    """
    parts = by_meta(subject.scored(STEP), "unit")
    units = {name: accuracy(parts[name], ties=0.5) for name in UNITS if name in parts}
    lines = [Line(name, estimate, 0.5) for name, estimate in units.items()]
    mean = weighted_sum([*units.values()], [1 / len(units)] * len(units))
    lines.append(Line("mean", mean, 0.5, total=True))
    absent = [name for name in UNITS if name not in parts]
    return Result(
        "Order sensitivity: share of responses that are preferred to their changed copies",
        lines,
        "accuracy, a tie counting one half",
        records(parts),
        mistakes_in(parts),
        [f"No response of these data can be changed in its {', '.join(absent)}."] if absent else [],
    )
