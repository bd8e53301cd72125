"""RAG-RewardBench, arXiv:2412.13746: pairs of answers from retrieved texts, by subset."""

from alignlab.evaluation.suite import Line, Result, Subject, accuracy, by_meta, mistakes_in, records
from alignlab.uncertainty import weighted_sum


def run(subject: Subject) -> Result:
    """Score the pairs of the file by the subsets that it names; a tie is wrong."""
    lists = subject.scored(["data=rag_rewardbench"])
    parts = by_meta(lists, "subset")
    subsets = {name: accuracy(part) for name, part in parts.items()}
    lines = [Line(name, estimate, 0.5) for name, estimate in subsets.items()]
    mean = weighted_sum([*subsets.values()], [1 / len(subsets)] * len(subsets))
    lines.append(Line("mean of the subsets", mean, 0.5, total=True))
    lines.append(Line("all pairs", accuracy(lists), 0.5, total=True))
    return Result(
        "RAG-RewardBench: share of pairs with the higher score for chosen",
        lines,
        "accuracy",
        records(parts),
        mistakes_in(parts),
    )
