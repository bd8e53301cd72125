"""Preferences between different prompts."""

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from alignlab.data.reading.rows import Dropped
from alignlab.data.transforms.joint import joint
from alignlab.errors import ConfigError
from alignlab.objective.load import load_objective
from alignlab.types import Example
from tests.data.transforms.hand_made import row, vector


def split(made):
    """(rows kept, joint lists, ids of dropped rows)."""
    made = list(made)
    rows = [m for m in made if isinstance(m, Example)]
    lists = [m for m in rows if "rows" in m.meta]
    return [m for m in rows if m not in lists], lists, [m.id for m in made if isinstance(m, Dropped)]


def numbered(count, prompts=None, sources=("s",), labels=(0.9, 0.5, 0.1)):
    """Response texts tell row, place and label."""
    return [
        row(
            prompt=f"p{i % (prompts or count)}",
            responses=[f"{i} {j} {label}" for j, label in enumerate(labels)],
            labels=labels,
            rewards=[10 * label for label in labels],
            id=f"r{i}",
            meta={"source": sources[i % len(sources)], "models": [f"m{i}{j}" for j in range(len(labels))]},
        )
        for i in range(count)
    ]


@settings(max_examples=30)
@given(
    count=st.integers(0, 40),
    prompts=st.integers(1, 12),
    share=st.sampled_from([0.1, 0.5, 1.5]),
    keep=st.booleans(),
    sources=st.sampled_from([("s",), ("s", "t")]),
    by=st.sampled_from(["labels", "rewards"]),
    seed=st.integers(0, 5),
)
def test_joint_lists(count, prompts, share, keep, sources, by, seed):
    rows = numbered(count, prompts, sources)
    kept, lists, dropped = split(list(joint(rows, share=share, keep_conditional=keep, by=by, seed=seed)))
    assert kept == (rows if keep else [])
    used = {name for made in lists for name in made.meta["rows"]}
    assert sorted(dropped) == ([] if keep else sorted({r.id for r in rows} - used))
    assert len(lists) <= max(1, round(share * count))
    assert len({made.id for made in lists}) == len(lists)
    for made in lists:
        (first, second) = made.meta["prompts"]
        assert first != second
        assert made.prompt == first
        assert sorted(made.labels) == [0.0, 1.0]
        for place, (text, label) in enumerate(zip(made.responses, made.labels, strict=True)):
            number, at, own = text.split()
            assert made.meta["rows"][place] == f"r{number}"
            assert made.meta["prompts"][place] == rows[int(number)].prompt
            assert made.meta["models"][place] == f"m{number}{at}"
            assert made.rewards[place] == 10 * float(own)
            assert (label == 1) == (float(own) == max(float(t.split()[2]) for t in made.responses))
        assert {rows[int(name[1:])].meta["source"] for name in made.meta["rows"]} == {made.meta["source"]}


def test_as_many_as_asked_for():
    rows = numbered(200)
    sizes = {share: len(split(joint(rows, share=share))[1]) for share in (0.1, 0.4, 0.8, 1.2)}
    assert sizes[0.1] == 20
    assert sizes[0.4] == 80
    assert 130 <= sizes[0.8] <= 160
    assert 210 <= sizes[1.2] <= 240


def test_the_order_of_the_rows_does_not_matter():
    rows = numbered(60, 20)
    shuffled = random.Random(0).sample(rows, len(rows))
    found = [split(joint(order))[1] for order in (rows, shuffled)]
    assert found[0] == found[1] != split(joint(rows, seed=1))[1]


def test_which_comes_first_tells_nothing():
    lists = split(joint(numbered(300), share=0.4))[1]
    assert 40 < sum(made.labels[0] for made in lists) < 80


def test_a_prompt_is_never_compared_with_itself():
    kept, lists, dropped = split(joint(numbered(30, prompts=1), keep_conditional=False))
    assert (kept, lists, len(dropped)) == ([], [], 30)


def test_scores_that_cannot_be_compared():
    flat = numbered(20, labels=(0.5, 0.5))
    assert not split(joint(flat))[1]
    assert not split(joint(numbered(20), min_gap=0.9))[1]
    assert not split(joint([row(f"p{i}", id=str(i)) for i in range(20)], by="rewards"))[1]
    mixed = [
        row("p", ["good"], [0.9], id="a", meta={"source": "s"}),
        row("q", ["bad"], [0.1], id="b", meta={"source": "t"}),
    ]
    assert not split(joint(mixed))[1]
    (made,) = split(joint(mixed, same_source=False))[1]
    assert set(made.meta["source"].split("+")) == {"s", "t"}


def test_pairs_for_a_judge_are_made_whatever_their_scores():
    flat = numbered(40, labels=(0.5, 0.5))
    lists = split(joint(flat, by="none"))[1]
    assert len(lists) == 20
    assert all(made.labels == [0.5, 0.5] and made.rewards is None for made in lists)


def test_single_responses_have_joint_lists_alone():
    """Unpaired data becomes pairs."""
    rows = [row(f"p{i}", ["y"], [float(i % 2)], id=str(i)) for i in range(40)]
    kept, lists, dropped = split(joint(rows))
    assert kept == []
    assert len(lists) > 10
    assert len(dropped) == 40 - 2 * len(lists)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"by": "label"}, "pipeline.joint.by=label: did you mean 'labels'?"),
        ({"by": "none", "min_gap": 0.1}, "there are no scores to differ"),
    ],
)
def test_options_that_cannot_work(options, message):
    with pytest.raises(ConfigError) as error:
        list(joint(numbered(2), **options))
    assert message in str(error.value)


def test_dove_reads_the_better_label_as_chosen():
    """Whichever prompt the better response has."""
    card = vector("A5_dove")
    given = {name: torch.tensor(value, dtype=torch.float64) for name, value in card["inputs"].items()}
    dove = load_objective("dove", beta=card["inputs"]["beta"], prompt="sum")
    for order in ("wl", "lw"):
        stacked = {
            f"{model}_{part}": torch.stack([given[f"{model}_{part}{side}"] for side in order])[None]
            for model in ("pi", "ref")
            for part in "IR"
        }
        outcome = dove(
            logps=stacked["pi_R"],
            ref_logps=stacked["ref_R"],
            prompt_logps=stacked["pi_I"],
            ref_prompt_logps=stacked["ref_I"],
            labels=torch.tensor([[float(side == "w") for side in order]], dtype=torch.float64),
        )
        assert outcome.loss.item() == pytest.approx(card["outputs"]["loss"], abs=1e-9)
