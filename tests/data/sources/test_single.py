"""One response a row: thumbs, and sentences with a rating."""

import pytest

from alignlab.data.reading.rows import Drop, RowError, user, validate
from alignlab.data.sources import kto, sentiment
from tests.data.sources.rows import ASK, KTO, OPENING, RED, SENTIMENT


@pytest.mark.parametrize(
    ("row", "prompt"),
    [
        (KTO, OPENING),
        ({"prompt": OPENING, "completion": [RED], "label": True}, OPENING),
        ({"prompt": "Which?", "completion": "red", "label": True}, [ASK]),
    ],
)
def test_kto(row, prompt):
    example = validate(kto.convert(row))
    assert (example.prompt, example.responses, example.labels) == (prompt, [[RED]], [1.0])
    assert kto.convert(row | {"label": False}).labels == [0.0]


@pytest.mark.parametrize(
    ("change", "failure", "message"),
    [
        ({"label": None}, RowError, "column 'label': missing"),
        ({"label": "yes"}, RowError, "column 'label': expected bool, found str 'yes'"),
        ({"label": 1}, RowError, "column 'label': expected bool, found int 1"),
        ({"messages": []}, RowError, "column 'messages': expected a list of messages"),
        ({"messages": [RED]}, RowError, "column 'prompt': expected a list of messages"),
        (
            {"messages": OPENING},
            RowError,
            "column 'messages': the label is for the last turn, which is of the user",
        ),
        ({"messages": None}, RowError, "column 'prompt': missing"),
        ({"messages": [ASK, RED | {"content": " "}]}, Drop, "an empty reply"),
    ],
)
def test_kto_rows_that_do_not_serve(change, failure, message):
    with pytest.raises(failure) as error:
        validate(kto.convert(KTO | change))
    assert message in str(error.value)


@pytest.mark.parametrize(("words", "prompt", "response"), [
    (4, "One of the best", " films of the year."), (1, "One", " of the best films of the year."),
    (7, "One of the best films of the", " year."),
])  # fmt: skip
def test_a_sentence_is_its_prompt_and_its_response(words, prompt, response):
    example = validate(sentiment.convert(SENTIMENT, prompt_words=words))
    assert (example.prompt, example.responses[0][0]["content"]) == (user(prompt), response)
    assert (example.labels, example.rewards, example.id) == ([0.75], [2.0], "7")
    assert prompt + response == SENTIMENT["text"]


@pytest.mark.parametrize(
    ("change", "failure", "message"),
    [
        ({"text": "Four words are few"}, Drop, "no more than 4 words"),
        ({"text": ""}, Drop, "no more than 4 words"),
        ({"text": None}, RowError, "column 'text': missing"),
        ({"rating": 4.5}, RowError, "4.5 leaves the scale -4.0..4.0; set data.source.scale=[low,high]"),
        ({"rating": float("nan")}, RowError, "column 'rating': expected a finite number"),
        ({"rating": "2"}, RowError, "column 'rating': expected int or float, found str '2'"),
    ],
)
def test_sentences_that_do_not_serve(change, failure, message):
    with pytest.raises(failure) as error:
        sentiment.convert(SENTIMENT | change)
    assert message in str(error.value)
