"""What holds for every step on rows that makes lists."""

from copy import deepcopy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alignlab.data.reading.rows import validate
from alignlab.data.transforms.context_dropout_negatives import context_dropout_negatives
from alignlab.data.transforms.degrade import degrade
from alignlab.data.transforms.flip_noise import flip_noise
from alignlab.data.transforms.label_transform import label_transform
from alignlab.data.transforms.negatives_only import negatives_only
from alignlab.data.transforms.order_perturbed_negatives import order_perturbed_negatives
from alignlab.data.transforms.pairs import pairs
from alignlab.data.transforms.ranked import ranked
from alignlab.data.transforms.rationale import rationale
from alignlab.data.transforms.reward_augmented import reward_augmented
from alignlab.data.transforms.unpaired import unpaired
from alignlab.types import Example
from tests.data.transforms.listed import outcome

STEPS = [
    (pairs, {"choose": "all"}),
    (pairs, {"choose": "max_margin"}),
    (ranked, {"k": 3, "seed": 1}),
    (ranked, {"ties": "first", "shuffle": False}),
    (unpaired, {"choose": "all"}),
    (unpaired, {}),
    (reward_augmented, {}),
    (reward_augmented, {"form": "user", "split": "validation"}),
    (flip_noise, {"rate": 0.5, "seed": 2}),
    (flip_noise, {"rate": 1.0, "swap": "permute"}),
    (label_transform, {"to": "rank", "by": "rewards"}),
    (label_transform, {"to": "bradley_terry", "temperature": 2.0}),
    (label_transform, {"to": "strength", "by": "rewards", "weak": "smooth"}),
    (negatives_only, {}),
    (negatives_only, {"against": "samples"}),
    (order_perturbed_negatives, {"copies": 3, "keep_others": True}),
    (context_dropout_negatives, {"keep_others": True}),
    (context_dropout_negatives, {"side": "prompt"}),
    (degrade, {"choose": "random", "keep_others": True}),
    (rationale, {"template": True}),
]
sentence = st.sampled_from(["The fox runs.", "It is red!", "A river, a hill.", "Why not?", "Foxes eat mice."])
text = st.lists(sentence, min_size=1, max_size=4).map(" ".join)


@st.composite
def fields(draw):
    """Those of a list of one to five different responses, some of it with prompts of their own."""
    size = draw(st.integers(1, 5))
    texts = draw(st.lists(text, min_size=size, max_size=size, unique=True))
    numbers = st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=size, max_size=size)
    meta = {"models": [f"by {t}" for t in texts], "source": "s", "rationale": "r", "samples": ["It is me."]}
    asked = [[{"role": "user", "content": draw(text)}] for _ in range(size)]
    if draw(st.booleans()):
        meta["prompts"] = asked
    return {
        "prompt": asked[0],
        "responses": [[{"role": "assistant", "content": t}] for t in texts],
        "labels": draw(numbers),
        "rewards": draw(st.none() | numbers.map(lambda values: [1 + 9 * value for value in values])),
        "id": draw(st.sampled_from("abc")),
        "meta": meta,
    }


@pytest.mark.parametrize(("step", "options"), STEPS, ids=lambda value: getattr(value, "__name__", None))
@settings(max_examples=40)
@given(row=fields())
def test_rows_are_made_anew_and_whole(step, options, row):
    example = Example(**row)
    before = deepcopy(example)
    made = outcome(step, example, **options)
    assert example == before
    assert made == outcome(step, before, **options)
    if isinstance(made, str):
        return
    assert len({new.id for new in made}) == len(made) > 0
    texts = [turns[0]["content"] for turns in example.responses]
    for new in made:
        assert validate(new) == new
        assert example.meta.keys() <= new.meta.keys()
        assert len(new.meta["models"]) == len(new.responses)
        for place, turns in enumerate(new.responses):
            said = turns[0]["content"]
            if said in texts and step not in (order_perturbed_negatives, context_dropout_negatives):
                assert new.meta["models"][place] == f"by {said}"
                assert new.rewards is None or new.rewards[place] == example.rewards[texts.index(said)]
        if "prompts" in new.meta:
            assert len(new.meta["prompts"]) == len(new.responses)
            assert new.meta["prompts"][0] == new.prompt


KEEPING = [s for s in STEPS if s[0] in (pairs, ranked, rationale)]


@pytest.mark.parametrize(("step", "options"), KEEPING, ids=lambda value: getattr(value, "__name__", None))
@settings(max_examples=40)
@given(row=fields())
def test_labels_go_with_their_responses(step, options, row):
    example = Example(**row)
    made = outcome(step, example, **options)
    if isinstance(made, list):
        known = dict(zip(map(str, example.responses), example.labels, strict=True))
        assert all(
            known[str(turns)] == label
            for new in made
            for turns, label in zip(new.responses, new.labels, strict=True)
        )


@pytest.mark.parametrize("step", [flip_noise, label_transform])
@settings(max_examples=40)
@given(row=fields())
def test_relabelling_keeps_the_responses(step, row):
    example = Example(**row)
    made = outcome(step, example)
    if isinstance(made, list):
        assert [(new.prompt, new.responses, new.rewards, new.id) for new in made] == [
            (example.prompt, example.responses, example.rewards, example.id)
        ]
