"""The best response in another order."""

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignlab.data.transforms.order_perturbed_negatives import order_perturbed_negatives
from alignlab.data.transforms.words import SENTENCE, WORD
from alignlab.errors import ConfigError
from tests.data.transforms.hand_made import row
from tests.data.transforms.listed import outcome

texts = st.text(alphabet="ab 'c-.!?\n", min_size=1, max_size=40).filter(lambda text: text.strip())
UNITS = {"words": WORD, "trigrams": WORD, "sentences": SENTENCE}


def said(turns):
    return turns if isinstance(turns, str) else turns[0]["content"]


@given(text=texts, unit=st.sampled_from(list(UNITS)), copies=st.integers(1, 3), seed=st.integers(0, 9))
def test_the_same_words_in_another_order(text, unit, copies, seed):
    made = outcome(order_perturbed_negatives, row(responses=[text, "x"]), unit=unit, copies=copies, seed=seed)
    pieces = UNITS[unit].findall(text)
    groups = [tuple(pieces[i : i + 3]) for i in range(0, len(pieces), 3)] if unit == "trigrams" else pieces
    if isinstance(made, str):
        assert len(set(groups)) < 2 or unit == "trigrams"
        return
    (new,) = made
    original, *others = map(said, new.responses)
    assert original == text
    assert 1 <= len(others) <= copies
    assert len({text, *others}) == len(others) + 1
    for other in others:
        assert Counter(other) == Counter(text)
        if unit != "sentences":  # a sentence without its mark may join the next
            assert Counter(WORD.findall(other)) == Counter(pieces)
            assert WORD.sub("*", other) == WORD.sub("*", text)
    assert new.labels == [1.0] + [0.0] * len(others)
    assert new.rewards is None


def test_all_orders_of_a_short_response():
    (made,) = order_perturbed_negatives(row(responses=["One two three."], labels=[1.0]), copies=9)
    assert len(made.responses) == math.factorial(3)
    assert {said(turns)[-1] for turns in made.responses} == {"."}


def test_what_stays_together():
    text = "a b c, d e f. g"
    (made,) = order_perturbed_negatives(row(responses=[text], labels=[1.0]), unit="trigrams", copies=5)
    assert len(made.responses) == 6
    for turns in made.responses:
        letters = "".join(WORD.findall(said(turns)))
        assert "abc" in letters
        assert "def" in letters


def test_sentences_of_several_lines_and_scripts():
    example = row(responses=["It is. It was!\nWhy?"], labels=[1.0])
    (made,) = order_perturbed_negatives(example, unit="sentences", copies=9)
    assert len(made.responses) == 6
    assert "It was! It is.\nWhy?" in map(said, made.responses)
    example = row(responses=["1. It is.\n2. It was.\n"], labels=[1.0])
    (made,) = order_perturbed_negatives(example, unit="sentences")
    assert said(made.responses[1]) == "2. It was.\n1. It is.\n"
    example = row(responses=["\u662f\u3002\u5426\u3002"], labels=[1.0])
    (made,) = order_perturbed_negatives(example, unit="sentences")
    assert said(made.responses[1]) == "\u5426\u3002\u662f\u3002"


def test_only_the_assistant_is_shuffled():
    turns = [
        {"role": "assistant", "content": "call it now"},
        {"role": "tool", "content": "done in time"},
        {"role": "assistant", "content": "it is done"},
    ]
    (made,) = order_perturbed_negatives(row(responses=[turns], labels=[1.0]), copies=4)
    assert {copy[1]["content"] for copy in made.responses} == {"done in time"}
    assert len({copy[0]["content"] for copy in made.responses}) > 1


def test_others_may_stay():
    example = row(responses=["worse text", "the best text"], labels=[0.5, 1.0], rewards=[5.0, 9.0])
    (made,) = order_perturbed_negatives(example, keep_others=True)
    assert (made.responses[:2], made.labels) == (["worse text", "the best text"], [0.5, 1.0, 0.0])
    (made,) = order_perturbed_negatives(example)
    assert (made.responses[0], made.labels) == ("the best text", [1.0, 0.0])


def test_order_depends_on_seed_and_row():
    def drawn(seed, name="a"):
        (made,) = order_perturbed_negatives(
            row(responses=["a b c d e f g h"], labels=[1.0], id=name), seed=seed
        )
        return said(made.responses[1])

    assert len({drawn(seed) for seed in range(9)}) > 7
    assert drawn(0) != drawn(0, "b")


@pytest.mark.parametrize(
    ("example", "reason"),
    [
        (row(responses=["Fox!"], labels=[1.0]), "the best response has no other order of its words"),
        (row(responses=["fox fox fox"], labels=[1.0]), "the best response has no other order of its words"),
        (row(responses=["a fox"], labels=[0.0]), "the best label is not above 0: no copy can rank below it"),
    ],
)
def test_rows_that_cannot_be_shuffled(example, reason):
    assert outcome(order_perturbed_negatives, example) == reason


@pytest.mark.parametrize(("options", "message"), [({"unit": "word"}, "unit=word: did you mean 'words'?")])
def test_options_that_cannot_work(options, message):
    with pytest.raises(ConfigError) as error:
        list(order_perturbed_negatives(row(), **options))
    assert f"pipeline.order_perturbed_negatives.{message}" in str(error.value)


def test_two_words_alone_change_places():
    text = "The horse eats the grass. A dog is small."
    (made,) = order_perturbed_negatives(row(responses=[text], labels=[1.0]), unit="attributes")
    assert said(made.responses[1]) == "The horse eats the small. A dog is grass."
    (made,) = order_perturbed_negatives(row(responses=[text], labels=[1.0]), unit="relations", copies=3)
    assert [said(turns) for turns in made.responses[1:]] == ["The grass eats the horse. A dog is small."]


def test_several_units_make_a_row_each_and_those_that_cannot_are_left_out():
    made = [
        *order_perturbed_negatives(
            row(responses=["The horse eats the grass."], labels=[1.0]),
            unit=["words", "attributes", "relations"],
        )
    ]
    assert [example.meta["unit"] for example in made] == ["words", "relations"]
    assert len({example.id for example in made}) == 2
    left = outcome(order_perturbed_negatives, row(responses=["Yes.", "No."]), unit=["words", "relations"])
    assert left == "the best response has no other order of its words or relations"
