"""Published pairs: which side is better, what is kept of the scores, and rows that do not serve."""

import pytest

from alignlab.data.reading.rows import Drop, RowError, user, validate
from alignlab.data.sources import helpsteer2, shp, tldr, webgpt
from tests.data.sources.rows import OPENING, SHP, STRENGTH, TLDR, WEBGPT, changed

PAIRS = {
    "shp": (shp.convert, SHP),
    "webgpt": (webgpt.convert, WEBGPT),
    "tldr": (tldr.convert, TLDR),
    "helpsteer2": (helpsteer2.convert_preference, STRENGTH),
}


def texts(example):
    return [turns[0]["content"].removesuffix(" [1]") for turns in validate(example).responses]


@pytest.mark.parametrize(("convert", "row"), PAIRS.values(), ids=PAIRS)
def test_the_better_side_comes_first(convert, row):
    example = convert(row)
    assert texts(example) == ["red", "blue"]
    assert example.labels == [1.0, 0.0]


@pytest.mark.parametrize(
    ("convert", "row"),
    [
        (shp.convert, changed(SHP, "labels", to=0)),
        (webgpt.convert, WEBGPT | {"score_0": 0.5, "score_1": -0.5}),
        (tldr.convert, changed(TLDR, "choice", to=0)),
        (helpsteer2.convert_preference, changed(STRENGTH, "preference_strength", to=-2)),
    ],
    ids=PAIRS,
)
def test_the_other_way_round(convert, row):
    assert texts(convert(row)) == ["blue", "red"]


@pytest.mark.parametrize(
    ("convert", "row"),
    [
        (webgpt.convert, WEBGPT | {"score_0": 0.0, "score_1": 0.0}),
        (helpsteer2.convert_preference, changed(STRENGTH, "preference_strength", to=0)),
    ],
)
def test_a_tie_has_equal_labels(convert, row):
    example = validate(convert(row))
    assert (example.labels, example.rewards) == ([0.5, 0.5], [0.0, 0.0])


def test_what_is_kept():
    example = shp.convert(SHP)
    assert (example.prompt, example.rewards, example.id) == (user("Which?"), [34.0, 17.0], "p1/a/b")
    assert example.meta == {"source": "askculinary", "score_ratio": 2.0}
    assert shp.convert(changed(SHP, "labels", to=0)).rewards == [17.0, 34.0]
    example = webgpt.convert(WEBGPT)
    assert (example.prompt, example.rewards) == (user("Which?"), [0.5, -0.5])
    assert example.meta == {"source": "eli5", "question": "q1"}
    example = helpsteer2.convert_preference(STRENGTH)
    assert (example.prompt, example.rewards) == (OPENING, [2.0, 0.0])


def test_the_prompt_of_a_post_and_of_an_article():
    example = tldr.convert(TLDR)
    assert example.prompt == user("SUBREDDIT: r/ask\n\nTITLE: Which?\n\nPOST: Red or blue?\n\nTL;DR:")
    assert example.meta == {"source": "r/ask", "post": "t3_1", "models": ["ref", "sup1"], "confidence": 7}
    example = tldr.convert(TLDR | {"info": {"id": "a", "article": "Red won.", "post": None}})
    assert (example.prompt, example.meta["source"]) == (user("Red won.\n\nTL;DR:"), "cnn_dm")


def test_a_part_of_the_preferences():
    assert helpsteer2.convert_preference(STRENGTH, part="train").labels == [1.0, 0.0]
    with pytest.raises(Drop, match="not of the part 'val'"):
        helpsteer2.convert_preference(STRENGTH, part="val")


@pytest.mark.parametrize(
    ("convert", "row", "column"),
    [
        (shp.convert, SHP, "human_ref_A"),
        (webgpt.convert, WEBGPT, "answer_1"),
        (tldr.convert, TLDR, "text"),
        (helpsteer2.convert_preference, STRENGTH, "response_2"),
    ],
    ids=PAIRS,
)
@pytest.mark.parametrize(
    ("value", "failure", "message"),
    [
        ("same", Drop, "chosen and rejected are identical"),
        (" \n", Drop, "an empty reply"),
        (None, RowError, "missing"),
        (3, RowError, "expected str, found int 3"),
    ],
)
def test_replies_that_do_not_serve(convert, row, column, value, failure, message):
    other = {"human_ref_A": "human_ref_B", "answer_1": "answer_0", "response_2": "response_1"}.get(column)
    value = value if value != "same" else row[other] if other else " blue "
    row = changed(row, "summaries", 1, "text", to=value) if column == "text" else row | {column: value}
    with pytest.raises(failure) as error:
        convert(row)
    assert message in str(error.value)
    assert failure is Drop or f"column '{column}'" in str(error.value)


@pytest.mark.parametrize(
    ("convert", "row", "message"),
    [
        (
            shp.convert,
            SHP | {"labels": 2},
            "column 'labels': expected 1 (A is preferred) or 0 (B is), found 2",
        ),
        (shp.convert, SHP | {"labels": True}, "column 'labels': expected int, found bool True"),
        (shp.convert, SHP | {"score_A": float("nan")}, "column 'score_A': expected a finite number"),
        (webgpt.convert, WEBGPT | {"question": "Which?"}, "column 'question': expected Mapping, found str"),
        (webgpt.convert, WEBGPT | {"score_1": None}, "column 'score_1': missing"),
        (tldr.convert, TLDR | {"choice": 2}, "column 'choice': expected 0 or 1, found 2"),
        (
            tldr.convert,
            TLDR | {"summaries": []},
            "column 'summaries': expected two of {text, policy}, found []",
        ),
        (tldr.convert, TLDR | {"info": {"post": "x"}}, "column 'subreddit': missing"),
        (helpsteer2.convert_preference, STRENGTH | {"preference_strength": 4}, "expected -3 to 3, found 4"),
    ],
)
def test_rows_that_are_wrong(convert, row, message):
    with pytest.raises(RowError) as error:
        convert(row)
    assert message in str(error.value)
