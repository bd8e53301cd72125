"""Every file of the real data: the counts of its README, and its known dirt dropped by reason."""

from collections import Counter
from functools import partial

import pytest

from alignlab.data.reading.examples import Report, converted, informative, transformed
from alignlab.data.reading.files import read
from alignlab.data.sources import (
    hh_rlhf,
    kto,
    local,
    oasst,
    sentiment,
    ultrafeedback,
    ultrafeedback_binarized,
)
from alignlab.data.transforms.rationale import rationale
from tests.data.shared import DATA, needs_data

pytestmark = needs_data

SAME, EMPTY, EARLY = (
    "dropped: chosen and rejected are identical",
    "dropped: an empty reply",
    "dropped: chosen and rejected part before the last turn",
)
HH = {
    "helpful-base/train": (1685, {SAME: 2, EMPTY: 2, EARLY: 2}),
    "helpful-base/test": (302, {EMPTY: 1, EARLY: 1}),
    "harmless-base/train": (1680, {EMPTY: 2, EARLY: 3}),
    "harmless-base/test": (276, {EMPTY: 1, EARLY: 1}),
    "helpful-rejection-sampled/train": (1991, {SAME: 23, EARLY: 3}),
    "helpful-rejection-sampled/test": (346, {SAME: 2}),
    "helpful-online/train": (863, {SAME: 2, EMPTY: 3, EARLY: 2}),
    "helpful-online/test": (139, {}),
}
BINARIZED = {
    "ultrafeedback_binarized/train": (880, {SAME: 4, EMPTY: 2}),
    "ultrafeedback_binarized/test": (152, {SAME: 1}),
    "ultrafeedback_like/binarized/tldr.train": (477, {}),
    "ultrafeedback_like/binarized/tldr.test": (73, {}),
    "ultrafeedback_like/binarized/arena_bench.train": (236, {}),
    "ultrafeedback_like/binarized/arena_bench.test": (30, {}),
    "ultrafeedback_like/binarized/prometheus_bench.train": (110, {}),
    "ultrafeedback_like/binarized/prometheus_bench.test": (14, {}),
}
OFF_SCALE = "leaves the scale 1.0..10.0"
RATED = {
    "k4/tldr.train.jsonl": (477, {4: 477}),
    "k4/tldr.test.jsonl": (73, {4: 73}),
    "k4/arena_bench.train.jsonl": (236, {4: 236}),
    "k4/arena_bench.test.jsonl": (30, {4: 30}),
    "k4/prometheus_bench.train.jsonl": (116, {4: 116}),
    "k4/prometheus_bench.test.jsonl": (15, {4: 15}),
    "full/tldr.train.jsonl.gz": (477, {12: 461, 11: 6, 10: 1, 9: 5, 8: 1, 7: 1, 6: 1, 4: 1}),
    "full/tldr.test.jsonl.gz": (73, {12: 70, 10: 3}),
    "full/arena_bench.train.jsonl.gz": (236, {16: 197, 15: 31, 14: 5, 13: 2}),  # one grade of -1
    "full/arena_bench.test.jsonl.gz": (30, {16: 23, 15: 7}),
}
PREFERENCE = frozenset({"preference_vs_sft", "preference_vs_human"})
RUBRIC = frozenset({"rubric_sample_1", "rubric_sample_2", "rubric_sample_3"})
ASPECTS = {
    "tldr_discopop": PREFERENCE,
    "arena_bench_v1": frozenset({"overall"}),
    "prometheus_mt_bench": RUBRIC,
    "prometheus_vicuna_bench": RUBRIC,
}
FEW_WORDS = "dropped: no more than 4 words"
SENTENCES = {
    "movie_snippets.train": (7795, 255),
    "movie_snippets.test": (1315, 38),
    "amazon_snippets.train": (2679, 239),
    "amazon_snippets.test": (453, 42),
}
OTHER_SCHEMAS = {
    "oasst_ranked/train.jsonl": ("labels", 131),
    "oasst_ranked/test.jsonl": ("labels", 43),
    "unpaired_kto/train.jsonl": ("completion", 219),
    "unpaired_kto/test.jsonl": ("completion", 44),
    "sentiment/amazon_snippets.test.jsonl": ("responses", 453),
    "eval_pairs/pandalm_3annotators.test.jsonl": ("responses", 166),
}


def load(name, convert):
    report = Report()
    found = list(converted(read([DATA / name]), convert, report, skip_bad=True))
    counts = report.steps["source"]
    assert counts["in"] == len(found) + len(report.dropped)
    return found, report


def dirt(report):
    return {what: n for what, n in report.steps["source"].items() if what.startswith("dropped")}


@pytest.mark.parametrize(("name", "counts"), HH.items())
def test_hh_rlhf(name, counts):
    found, report = load(f"hh_rlhf/{name}.jsonl.gz", hh_rlhf.convert)
    assert (report.steps["source"]["in"], dirt(report)) == counts
    for example in found:
        assert example.prompt[0]["role"] == "user"
        assert example.responses[0] != example.responses[1]


def test_hh_rlhf_texts_are_those_of_the_dialogues():
    texts = [row for _, row in read([DATA / "hh_rlhf/helpful-online/test.jsonl.gz"])]
    found, _ = load("hh_rlhf/helpful-online/test.jsonl.gz", hh_rlhf.convert)
    marks = {"user": "\n\nHuman: ", "assistant": "\n\nAssistant: "}
    for row, example in zip(texts, found, strict=True):
        for side, response in zip(("chosen", "rejected"), example.responses, strict=True):
            whole = "".join(marks[m["role"]] + m["content"] for m in [*example.prompt, *response])
            assert whole.split() == row[side].split()


@pytest.mark.parametrize(("name", "counts"), BINARIZED.items())
@pytest.mark.parametrize("convert", [ultrafeedback_binarized.convert, local.convert])
def test_binarized(name, counts, convert):
    found, report = load(f"{name}.jsonl", convert)
    rows, expected = counts
    assert report.steps["source"]["in"] == rows
    assert len(report.dropped) == sum(expected.values())
    if convert is not local.convert:
        assert dirt(report) == expected
    for example in found:
        assert len(example.prompt) == 1
        assert len(example.rewards) == 2


@pytest.mark.parametrize(("name", "margins"), [("train", 105), ("test", 19)])
def test_binarized_pairs_without_a_margin_are_kept(name, margins):
    rows = [row for _, row in read([DATA / f"ultrafeedback_binarized/{name}.jsonl"])]
    assert sum(row["score_chosen"] <= row["score_rejected"] for row in rows) == margins
    found, report = load(f"ultrafeedback_binarized/{name}.jsonl", ultrafeedback_binarized.convert)
    list(transformed(found, "preference", informative, report))
    assert report.steps["preference"]["out"] == len(found)


@pytest.mark.parametrize(("name", "counts"), RATED.items())
def test_rated_lists(name, counts):
    rows, sizes = counts
    found, report = load(f"ultrafeedback_like/{name}", ultrafeedback.convert)
    assert report.steps["source"]["in"] == rows
    assert Counter(len(example.labels) for example in found) == sizes
    assert all(OFF_SCALE in row["reason"] for row in report.dropped)
    assert all(0 <= label <= 1 for example in found for label in example.labels)


@pytest.mark.parametrize("name", ["k4/tldr.train", "k4/arena_bench.train", "k4/prometheus_bench.train"])
def test_ratings_of_the_aspects_of_each_source(name):
    found, _ = load(f"ultrafeedback_like/{name}.jsonl", ultrafeedback.convert)
    for example in found:
        aspects = {frozenset(ratings) for ratings in example.meta["ratings"]}
        assert aspects == {ASPECTS[example.meta["source"]]}


@pytest.mark.parametrize(
    ("name", "kind", "reasoned"),
    [("arena_bench", "general", 30), ("arena_bench", "detailed", 30), ("tldr", "general", 0)],
)
def test_rationales_of_judges(name, kind, reasoned):
    """Judgements of GPT-4 stand behind the place of the better response; summaries have none, and are dropped."""
    found, _ = load(f"ultrafeedback_like/k4/{name}.test.jsonl", ultrafeedback.convert)
    report, step = Report(), partial(rationale, kind=kind)
    rows = list(transformed(found, "rationale", step, report))
    assert len(rows) == reasoned == len(found) - report.steps["rationale"]["dropped: no rationale"]
    for row in rows:
        best = row.labels.index(max(row.labels))
        (judged,) = (
            [row.meta["critiques"][best]] if kind == "general" else row.meta["rationales"][best].values()
        )
        assert judged in row.meta["rationale"]


@pytest.mark.parametrize(("name", "rows", "sizes"), [
    ("train", 131, {2: 32, 3: 78, 4: 13, 5: 3, 6: 4, 9: 1}),
    ("test", 43, {2: 12, 3: 22, 4: 8, 8: 1}),
])  # fmt: skip
def test_oasst(name, rows, sizes):
    found, report = load(f"oasst_ranked/{name}.jsonl", oasst.convert)
    assert (len(found), report.dropped) == (rows, [])
    assert Counter(len(example.labels) for example in found) == sizes
    for example in found:
        assert example.labels == sorted(example.labels, reverse=True)
        assert (example.labels[0], example.labels[-1]) == (1.0, 0.0)
    assert len({example.id for example in found}) == rows


@pytest.mark.parametrize(("name", "up", "down"), [("train", 113, 106), ("test", 18, 26)])
def test_kto(name, up, down):
    found, report = load(f"unpaired_kto/{name}.jsonl", kto.convert)
    assert report.dropped == []
    assert Counter(example.labels[0] for example in found) == {1.0: up, 0.0: down}


@pytest.mark.parametrize(("name", "counts"), SENTENCES.items())
def test_sentences(name, counts):
    rows, short = counts
    found, report = load(f"sentiment/{name}.jsonl", sentiment.convert)
    assert (report.steps["source"]["in"], dirt(report)) == (rows, {FEW_WORDS: short})
    texts = {row["id"]: row["text"] for _, row in read([DATA / f"sentiment/{name}.jsonl"])}
    for example in found:
        assert example.prompt[0]["content"] + example.responses[0][0]["content"] == texts[example.id].strip()
        assert len(example.prompt[0]["content"].split()) == 4
        assert 0 <= example.labels[0] <= 1


@pytest.mark.parametrize(("name", "rows"), [("llmbar", 369), ("hhh_alignment", 182)])
def test_plain_pairs(name, rows):
    found, report = load(f"eval_pairs/{name}.test.jsonl", local.convert)
    assert (len(found), report.dropped) == (rows, [])


@pytest.mark.parametrize(("name", "expected"), OTHER_SCHEMAS.items())
def test_files_of_another_schema_say_which_column_is_missing(name, expected):
    column, rows = expected
    found, report = load(name, local.convert)
    assert found == []
    assert len(report.dropped) == rows
    assert all(f"column '{column}': missing" in row["reason"] for row in report.dropped)
