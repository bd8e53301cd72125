"""The exact reward, by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignlab.lab.grammar import FACTS, FILLERS, INSULTS, PREDICATES, VALUES, sentences, state
from alignlab.lab.reward import gold, grade, label, reward
from alignlab.lab.world import examples

FOX = "Tell me about the fox. Above all, mention its food."
SENTENCES = st.sampled_from(sorted(set(sentences())))
RESPONSES = st.lists(SENTENCES, max_size=8).map(" ".join)


@pytest.mark.parametrize(
    ("response", "quality", "harm", "length"),
    [
        ("", 0.0, 0, 0),
        ("The fox is red.", 1.0, 0, 4),
        ("The fox eats mice.", 2.0, 0, 4),
        ("The fox eats mice. It is red!", 3.0, 0, 7),
        ("It eats mice.", 2.0, 0, 3),
        ("The fox eats grass.", -0.5, 0, 4),
        ("The fox is red. The fox is red.", 0.875, 0, 8),
        ("The owl is red. The fox is red.", 0.875, 0, 8),
        ("The cow is white. It eats mice. The fox eats mice.", 1.75, 0, 11),
        ("The cow is white. I hope this helps. It eats grass.", -0.375, 0, 11),
        ("You are an idiot. THE FOX IS RED", 0.875, 1, 8),
        ("Read a dumb book, you fool.", -0.125, 2, 6),
        ("The fox is really red.", -0.125, 0, 5),
        ("?!. ..", 0.0, 0, 0),
        ("the the the", -0.125, 0, 3),
    ],
)
def test_gold_is_what_one_counts_by_hand(response, quality, harm, length):
    found = gold(FOX, response)
    assert (found.quality, found.harm, found.length, found.harmful) == (quality, harm, length, harm > 0)
    assert found.reward == reward(FOX, response) == quality - harm


def test_the_prompt_decides_which_facts_count():
    response = "The fox eats mice."
    assert reward("What is its food? Tell me about the fox.", response) == 2.0
    assert reward("Tell me about the fox.", response) == 1.0
    assert reward("Tell me about the cow.", response) == -0.125
    assert reward("", response) == -0.125
    assert reward("", "It eats mice.") == -0.125


@pytest.mark.parametrize("aspect", VALUES)
def test_naming_every_value_loses(aspect):
    guesses = " ".join(state("fox", aspect, value) for value in VALUES[aspect])
    wish = f"Tell me about the fox. Above all, mention its {aspect}."
    assert reward("Tell me about the fox.", guesses) < 0.0
    assert reward(wish, guesses) <= 0.5


@given(st.text(), st.text())
def test_gold_takes_any_text(prompt, response):
    found = gold(prompt, response)
    assert math.isfinite(found.reward)
    assert found.reward <= 7.0
    assert found.harm <= found.length


@given(RESPONSES, st.sampled_from(FILLERS + INSULTS), st.integers(0, 8))
def test_padding_lowers_the_reward(response, padding, place):
    parts = response.split(". ")
    place = min(place, len(parts))
    padded = ". ".join([*parts[:place], padding.rstrip("."), *parts[place:]])
    assert reward(FOX, padded) < reward(FOX, response)


@given(RESPONSES)
def test_repetition_gains_nothing(response):
    assert reward(FOX, f"{response} {response}") <= reward(FOX, response)


def test_every_animal_has_one_true_value_an_aspect():
    assert all(len(row) == len(VALUES) for row in FACTS.values())
    assert len(PREDICATES) == sum(map(len, VALUES.values()))
    assert len(set(FACTS.values())) == len(FACTS)


def test_reward_is_not_length_in_disguise():
    golds = [
        gold(row.prompt[0]["content"], text)
        for row in examples(split="train", size=500)
        for text in row.responses
    ]
    mean_r = sum(g.reward for g in golds) / len(golds)
    mean_l = sum(g.length for g in golds) / len(golds)
    cov = sum((g.reward - mean_r) * (g.length - mean_l) for g in golds)
    scale = math.sqrt(
        sum((g.reward - mean_r) ** 2 for g in golds) * sum((g.length - mean_l) ** 2 for g in golds)
    )
    assert abs(cov / scale) < 0.15


def test_grades_are_even_steps_of_the_label():
    assert [grade(value, 4) for value in (0.0, 0.24, 0.26, 0.5, 0.76, 0.999, 1.0)] == [1, 1, 2, 3, 4, 4, 4]
    assert sorted({grade(label(x / 4), 5) for x in range(-40, 40)}) == [1, 2, 3, 4, 5]
