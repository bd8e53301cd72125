"""Lists of similar responses: edits, rewordings and trees."""

import random
from collections import Counter

import pytest

from alignlab.lab.reading import asked, sentences_of, statements, words
from alignlab.lab.reward import gold
from alignlab.lab.similar_responses import edits, rewordings, tree
from alignlab.lab.world import examples
from alignlab.lab.writers import writer


@pytest.mark.parametrize("count", [2, 4, 8])
def test_edits_differ_from_the_best_in_one_false_word(count):
    for row in examples(split="train", size=60, kin="edits", responses=count):
        best = row.rewards.index(max(row.rewards))
        others = [text for i, text in enumerate(row.responses) if i != best]
        for text in others:
            pairs = list(zip(words(row.responses[best]), words(text), strict=True))
            assert sum(one != other for one, other in pairs) == 1
        assert sorted(row.rewards)[-2] <= max(row.rewards) - 0.375  # a repeat that is false


def test_rewordings_say_the_same_in_other_orders():
    for row in examples(split="train", size=60, kin="rewordings"):
        topic = asked(row.prompt[0]["content"])[0]
        said = [[*meanings(text, topic)] for text in row.responses]
        best = row.rewards.index(max(row.rewards))
        for i, others in enumerate(said):
            apart = sum(a != b for a, b in zip(others, said[best], strict=True))
            assert apart == 0 if i == best else apart > 1
            assert len(Counter(others) - Counter(said[best])) == (i != best)


def meanings(text, topic):
    for said, sentence in zip(statements(text, topic), sentences_of(text), strict=True):
        yield said if said[0] else sentence


def test_pronouns_of_a_rewording_stand_for_the_same_animal():
    base = "The fox is red. It can dig. The cow is white. It eats grass."
    for seed in range(50):
        rng = random.Random(seed)
        for text in rewordings(rng, "Tell me about the fox.", base, 4):
            animals = [about for about, _, _ in statements(text, "")]
            assert sorted(animals) == ["cow", "cow", "fox", "fox"]


def test_no_copies_of_a_text_that_states_nothing_of_the_animal():
    rng = random.Random(0)
    for base in ("I hope this helps.", "The cow is white.", "", "The fox is red"):
        assert rewordings(rng, "Tell me about the fox.", base, 2) == []
    assert edits(rng, "Tell me about the fox.", "The cow is white.", 2) == []


@pytest.mark.parametrize(("count", "shared"), [(2, 1), (4, 1), (8, 1), (5, 1)])
def test_a_tree_shares_its_first_steps(count, shared):
    for seed in range(30):
        rng = random.Random(seed)
        leaves = tree(rng, "Tell me about the fox.", [writer(rng.random()) for _ in range(count)])
        steps = [sentences_of(text) for text in leaves]
        assert len(leaves) == len(set(leaves)) == count
        assert len({len(own) for own in steps}) == 1
        assert len({own[0] for own in steps}) == shared
        assert len({own[1] for own in steps}) == 2
        half = (count + 1) // 2
        assert len({own[1] for own in steps[:half]}) == len({own[1] for own in steps[half:]}) == 1


def test_lists_of_a_tree_have_exact_rewards():
    for row in examples(split="train", size=20, kin="tree", responses=8):
        assert row.rewards == [gold(row.prompt[0]["content"], text).reward for text in row.responses]
