"""Lists of texts of one class."""

from collections import Counter

import pytest

from alignlab.data.reading.rows import Dropped, user
from alignlab.data.transforms.class_pairs import class_pairs
from alignlab.errors import ConfigError
from alignlab.types import Example

SCORES = [-3.0, -2.0, -0.5, 0.0, 0.4, 1.5, 2.5, 3.0, 3.5]


def rated():
    return [
        Example(user(f"t{i}"), [f" is {score}"], [0.5], rewards=[score], id=f"r{i}")
        for i, score in enumerate(SCORES)
    ]


def test_lists_hold_whole_texts_of_one_class_the_clearer_ones_with_larger_labels():
    made = list(class_pairs(rated(), bounds=[-1.0, 1.0], margin=0.5))
    lists = [row for row in made if isinstance(row, Example)]
    dropped = Counter(row.reason for row in made if isinstance(row, Dropped))
    assert dropped == {
        "the raw score is too near a bound between classes": 2,
        "too few other texts of its class are left for a list": 1,
    }
    for row in lists:
        classes = {rating["class"] for rating in row.meta["ratings"]}
        assert len(row.responses) == 2
        assert classes == {float((row.rewards[0] > -1) + (row.rewards[0] > 1))}
        assert row.labels == [min(abs(score + 1), abs(score - 1)) for score in row.rewards]
        assert row.responses == [f"t{SCORES.index(score)} is {score}" for score in row.rewards]
    assert sorted(score for row in lists for score in row.rewards)[:4] == [-3.0, -2.0, 0.0, 0.4]
    assert list(class_pairs(rated(), seed=1)) == list(class_pairs(rated(), seed=1))
    assert list(class_pairs(rated(), seed=1)) != list(class_pairs(rated(), seed=2))


def test_rows_that_are_no_scored_text_are_dropped_and_bounds_have_to_increase():
    pair = Example(user("a"), ["b", "c"], [1.0, 0.0], rewards=[1.0, 0.0], id="0")
    assert list(class_pairs([pair])) == [Dropped("0", "not one text with a raw score")]
    with pytest.raises(ConfigError, match="expected numbers that increase"):
        list(class_pairs([], bounds=[1.0, 1.0]))
