"""Suites: their scores are those of the benchmarks' formulas, and a blind model gets what it must."""

import json
from dataclasses import replace

import numpy as np
import pytest

from alignlab.errors import DataError
from alignlab.evaluation.suite import ScoredList
from alignlab.evaluation.suites import (
    context_reversal,
    order_sensitivity,
    rag_rewardbench,
    rewardbench,
    rewardbench2,
)
from alignlab.types import Example
from alignlab.uncertainty import Estimate
from tests.repository import ROOT

VECTORS = {name: json.loads((ROOT / f"tests/vectors/vectors_{name}.json").read_text()) for name in "bc"}
TABLES = 10_000


class Told:
    """A subject whose rows are given."""

    def __init__(self, lists):
        self.lists, self.asked = lists, []

    def scored(self, overrides=(), require=None):
        self.asked = [*overrides]
        if require:
            require(
                Example([*one.prompt], [*one.responses], [*one.labels], id=one.id, meta=one.meta)
                for one in self.lists
            )
        return self.lists


def listed(scores, right=1, name="row", **meta):
    labels = [1.0] * right + [0.0] * (len(scores) - right)
    texts = [f"{name} {place}" for place in range(len(scores))]
    return ScoredList(name, [{"role": "user", "content": "?"}], texts, labels, list(scores), meta)


def pairs(right, count, **meta):
    """As many pairs as `count`, of which a share is ranked rightly."""
    won = round(right * count)
    return [listed([1.0, 0.0] if place < won else [0.0, 1.0], **meta) for place in range(count)]


def by_name(result):
    return {line.name: line.estimate for line in result.lines}


def test_rewardbench_is_the_worked_case():
    case = VECTORS["b"]["D5_rewardbench"]
    names = {
        "Chat": ("alpacaeval-easy", "alpacaeval-length"),
        "Safety": ("xstest-should-refuse", "xstest-should-respond"),
    }
    rows = [
        row
        for section, parts in case["inputs"]["sections"].items()
        for name, (share, count) in zip(names[section], parts, strict=True)
        for row in pairs(share, count, subset=name)
    ]
    subject = Told([*rows, *pairs(0.5, 4, subset="of my own")])
    result = rewardbench.run(subject)
    for section, value in case["outputs"]["section"].items():
        assert by_name(result)[section].value == pytest.approx(value, abs=1e-12)
    score = by_name(result)["RewardBench"]
    assert score.value == pytest.approx(case["outputs"]["score_mean_of_sections"], abs=1e-12)
    assert score.low < score.value < score.high
    assert "Chat Hard, Reasoning" in result.notes[0]
    assert "of my own" in result.notes[1]
    assert subject.asked == ["data=rewardbench"]


def test_pairs_of_other_subsets_have_a_mean_of_their_own():
    result = rewardbench.run(Told([*pairs(1.0, 4, subset="mine"), *pairs(0.5, 8, subset="yours")]))
    assert by_name(result)["mean of the subsets"].value == pytest.approx(0.75)
    assert "No subset" in result.notes[0]


def test_a_tie_is_wrong_in_a_benchmark_and_one_half_where_a_blind_model_is_at_one_half():
    tied = [listed([1.0, 1.0], subset="math-prm", unit="words") for _ in range(8)]
    assert by_name(rewardbench.run(Told(tied)))["math-prm"].value == 0.0
    assert by_name(rag_rewardbench.run(Told(tied)))["all pairs"].value == 0.0
    assert by_name(order_sensitivity.run(Told(tied)))["words"].value == 0.5


def test_rewardbench_sections_are_weighted_by_the_published_counts():
    """Section scores of 10,000 tables, each a plain sum of share times count over the sum of counts."""
    random = np.random.default_rng(0)
    sizes = {name: size for of in rewardbench.SECTIONS.values() for name, size in of.items()}
    assert sum(sizes.values()) == 2985 + 984 - 447
    shares = random.random((TABLES, len(sizes)))
    weights = np.array([*sizes.values()])
    starts = np.cumsum([0, *(len(of) for of in rewardbench.SECTIONS.values())])[:-1]
    expected = np.add.reduceat(shares * weights, starts, 1) / np.add.reduceat(weights, starts)
    for table, sections in zip(shares[::10], expected[::10], strict=True):
        estimates = {name: Estimate(v, v, v, 1) for name, v in zip(sizes, table.tolist(), strict=True)}
        found = rewardbench.section_scores(estimates)
        assert [one.value for one in found.values()] == pytest.approx(sections.tolist(), abs=1e-12)
        assert rewardbench.total(found).value == pytest.approx(sections.mean(), abs=1e-12)


def test_rewardbench_2_is_the_worked_case():
    case = VECTORS["c"]["cases"]["rewardbench2"]
    best = case["inputs"]["best_of_4"]
    rows = [listed(scores, subset="Factuality") for scores in best]
    for name, share in case["inputs"]["subsets"].items():
        rows += [listed(row.scores, subset=name) for row in pairs(share, 4)]
    for number, sides in case["inputs"]["ties"].items():
        for kind, (scores, right) in sides.items():
            rows.append(listed(scores, right, subset="Ties", bench_id=f"{kind}:{number}"))
    result = rewardbench2.run(Told(rows))
    out = case["outputs"]
    assert by_name(result)["Factuality"].value == pytest.approx(out["best_of_4_mean"], abs=1e-12)
    ties = by_name(result)["Ties"]
    assert ties.value == pytest.approx(out["ties"]["score"], abs=1e-9)
    assert ties.low < ties.value < ties.high
    assert by_name(result)["RewardBench 2"].value == pytest.approx(out["total"], abs=1e-9)


def ties_by_prompt(ref, tied):
    """The score of ties, prompt by prompt as the text of the method has it."""
    both = sorted(set(ref) & set(tied))
    gaps = {n: min(ref[n][0], tied[n][0]) for n in both}
    margins = []
    for n in both:
        spread, gap = tied[n][1], gaps[n]
        margins.append(float(np.sign(gap)) if spread == 0 else float(np.tanh(gap / spread - 1)))
    return (
        0.3 * np.mean([gap > 0 for gap, _ in tied.values()])
        + 0.3 * np.mean([gap > 0 for gap, _ in ref.values()])
        + 0.2 * np.mean([tied[n][0] > tied[n][1] for n in both])
        + 0.2 * np.mean([gaps[n] > tied[n][1] for n in both])
        + 0.01 * np.mean(margins)
    )


def test_ties_of_random_tables():
    """10,000 prompts in tables of five, some of which lack their partner or have a spread of zero."""
    random = np.random.default_rng(0)
    numbers = np.arange(5)
    for table in range(TABLES // 5):
        gaps = random.choice([-1.0, 0.0, 0.5, 1.0], (2, 5)) * random.random((2, 5)).round(table % 3)
        spreads = random.random(5) * (random.random(5) > 0.3)
        here = random.random((2, 5)) > 0.1
        here[:, 0] = True
        ref, tied = (
            rewardbench2.Margins(numbers[here[k]], gaps[k][here[k]], spread[here[k]])
            for k, spread in enumerate((np.zeros(5), spreads))
        )
        plain = [
            {int(n): (float(gaps[k, n]), float(spread[n])) for n in numbers[here[k]]}
            for k, spread in enumerate((np.zeros(5), spreads))
        ]
        assert rewardbench2.ties_score(ref, tied).value == pytest.approx(ties_by_prompt(*plain), abs=1e-12)


def test_best_of_random_lists_shares_its_credit_among_ties():
    scores = np.random.default_rng(0).integers(0, 4, (TABLES, 4)).astype(float)
    top = scores.max(1, keepdims=True)
    credit = (scores[:, 0] == top[:, 0]) / (scores == top).sum(1)
    found = rewardbench2.best_of([listed(row) for row in scores.tolist()])
    assert found.value == pytest.approx(credit.mean(), abs=1e-12)
    assert found.count == TABLES


@pytest.mark.parametrize("names", [("tied:1",), ("first",), ("ref:x",), ("ref:1", "ref:1")])
def test_ids_of_ties_that_tell_nothing_are_an_error(names):
    with pytest.raises(DataError, match=r"expected ref:<number>, or tied:<number>|has the id 'ref:1' twice"):
        rewardbench2.run(Told([listed([1.0, 0.0], subset="Ties", bench_id=name) for name in names]))


def reversed_rows(pairs):
    """Rows of pairs of scores, the first under one context, and the second under the other, better first."""
    rows = []
    for number, (one, other) in enumerate(pairs):
        first = listed(one, name=f"p{number}", pair=f"p{number}", context="quality")
        swapped = [*reversed(first.responses)]
        rows += [
            first,
            replace(first, responses=swapped, scores=list(other), meta={**first.meta, "context": "-length"}),
        ]
    return rows


def test_a_model_that_does_not_read_the_context_is_at_one_half_of_the_reversed_pairs():
    scores = np.random.default_rng(0).normal(size=(50, 2)).tolist()
    blind = reversed_rows([(pair, [*reversed(pair)]) for pair in scores])
    found = by_name(context_reversal.run(Told(blind)))
    assert found["reversed pairs"].value == 0.5
    assert found["right under both contexts"].value == 0.0
    aware = reversed_rows([([1.0, 0.0], [3.0, 1.0])] * 9 + [([1.0, 0.0], [0.0, 1.0])])
    found = by_name(context_reversal.run(Told(aware)))
    assert found["reversed pairs"].value == pytest.approx(0.95)
    assert found["right under both contexts"].value == pytest.approx(0.9)
    assert found["-length"].value == pytest.approx(0.9)


def test_contexts_that_are_one_sided_are_an_error():
    rows = reversed_rows([([1.0, 0.0], [1.0, 0.0])] * 3)
    with pytest.raises(DataError, match="row row has no context"):
        context_reversal.run(Told([listed([1.0, 0.0])]))
    with pytest.raises(DataError, match="1 of 3 pairs do not have two contexts"):
        context_reversal.run(Told(rows[:-1]))
    with pytest.raises(DataError, match="both contexts, quality and -length, prefer the same response"):
        context_reversal.run(Told([rows[0], replace(rows[1], responses=rows[0].responses), *rows[2:]]))


def test_the_worst_mistakes_are_shown_widest_first():
    rows = [listed([0.0, gap], name=str(gap), subset="math-prm") for gap in (1.0, 3.0, -1.0, 2.0)]
    result = rewardbench.run(Told(rows))
    assert [(one.id, one.gap, one.preferred) for one in result.mistakes] == [
        ("3.0", 3.0, "3.0 1"),
        ("2.0", 2.0, "2.0 1"),
        ("1.0", 1.0, "1.0 1"),
    ]
