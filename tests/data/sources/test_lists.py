"""Published lists: HelpSteer2 made of rows that follow each other, and the ranks of Nectar."""

import pytest

from alignlab.data.reading.rows import Drop, RowError, validate
from alignlab.data.sources import helpsteer2, nectar
from alignlab.errors import ConfigError
from tests.data.sources.rows import BLUE, HELPSTEER2, NECTAR, OPENING, RATINGS, RED, changed, said


def test_helpsteer2():
    example = validate(helpsteer2.convert(HELPSTEER2))
    assert (example.prompt, example.responses) == (OPENING, [[RED], [BLUE]])
    assert (example.labels, example.rewards) == ([0.75, 0.25], [3.0, 1.0])
    assert example.meta["ratings"] == [RATINGS, RATINGS | {"helpfulness": 1}]
    assert helpsteer2.convert(HELPSTEER2, score="verbosity").labels == [0.25, 0.25]


@pytest.mark.parametrize(
    ("row", "failure", "message"),
    [
        (changed(HELPSTEER2, "rows", 1, "response", to=""), Drop, "an empty reply"),
        (changed(HELPSTEER2, "rows", to=HELPSTEER2["rows"][:1]), Drop, "one response alone to its prompt"),
        (HELPSTEER2["rows"][0], Drop, "one response alone to its prompt"),
        (
            changed(HELPSTEER2, "rows", 1, "coherence", to=5),
            RowError,
            "column 'rows[1].coherence': expected 0 to 4, found 5",
        ),
        (
            changed(HELPSTEER2, "rows", 1, "coherence", to=None),
            RowError,
            "'rows[1].coherence': expected a finite",
        ),
        (changed(HELPSTEER2, "rows", 0, to={}), RowError, "column 'rows[0]': has no 'helpfulness'"),
        (
            {"response": "red", **RATINGS},
            RowError,
            "column 'prompt': missing; the row has coherence, complexity",
        ),
    ],
)
def test_helpsteer2_rows_that_do_not_serve(row, failure, message):
    with pytest.raises(failure) as error:
        helpsteer2.convert(row)
    assert message in str(error.value)


def test_an_aspect_that_is_none():
    with pytest.raises(ConfigError, match=r"data.source.score=helpful: did you mean 'helpfulness'\?"):
        helpsteer2.convert(HELPSTEER2, score="helpful")


def test_nectar():
    example = validate(nectar.convert(NECTAR))
    assert (example.prompt, example.labels, example.rewards) == (OPENING, [1.0, 0.0, 0.5], None)
    assert example.responses == [[RED], [said("assistant", "green")], [BLUE]]
    assert example.meta == {
        "source": "lmsys-chat-1m+sharegpt",
        "models": ["gpt-4", "llama", "mistral"],
        "good_natured": True,
    }


@pytest.mark.parametrize(
    ("row", "failure", "message"),
    [
        (changed(NECTAR, "answers", 1, "answer", to=" "), Drop, "an empty reply"),
        (changed(NECTAR, "answers", to=NECTAR["answers"][:1]), RowError, "expected at least 2 ranked answers"),
        (changed(NECTAR, "answers", 1, to="green"), RowError, "column 'answers[1]': expected {answer, model"),
        (changed(NECTAR, "answers", 2, "rank", to=None), RowError, "column 'answers[2].rank': expected a finite"),
        (changed(NECTAR, "prompt", to="Which?"), RowError, "column 'prompt': expected a dialogue that ends with"),
        (changed(NECTAR, "prompt", to="Which?\n\nAssistant:"), RowError, "that starts with 'Human:'"),
        (changed(NECTAR, "prompt", to=NECTAR["prompt"] + "red"), RowError, "a dialogue that ends with"),
    ],
)  # fmt: skip
def test_nectar_rows_that_do_not_serve(row, failure, message):
    with pytest.raises(failure) as error:
        nectar.convert(row)
    assert message in str(error.value)
