"""Rows conditioned on a score."""

import hashlib
from copy import deepcopy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignlab.data.encoding.tokenize import Encoder
from alignlab.data.transforms.reward_augmented import TEMPLATE, goal_rewards, reward_augmented, shown
from alignlab.errors import ConfigError
from tests.config.compose import composed
from tests.data.tokenizers_ import byte_level, llama_style
from tests.data.transforms.hand_made import row, vector
from tests.data.transforms.listed import outcome

STATED = "Write a response that would be given the score below, on a scale from 1 (worst) to 10 (best)."


def scored(*rewards, **rest):
    return row(
        responses=[f"y{i}" for i in range(len(rewards))],
        labels=[0.5] * len(rewards),
        rewards=list(rewards),
        **rest,
    )


def test_vector():
    """Two rows a pair, but for the tie, which the card says to drop; goals as one writes them."""
    card = vector("A3_reward_augmented")
    pairs, expected = card["inputs"]["pairs"], card["outputs"]["rows"]
    assert len(expected) == card["outputs"]["n_rows"] == 2 * len(pairs)
    for number, pair in enumerate(pairs):
        wanted = expected[2 * number : 2 * number + 2]
        made = outcome(reward_augmented, scored(pair["rw"], pair["rl"]))
        if pair["rw"] == pair["rl"]:
            assert made == "the best and the worst raw score are equal"
            assert {one["goal"] for one in wanted} == {pair["rw"]}
            continue
        for new, one in zip(made, wanted, strict=True):
            values = goal_rewards(new.meta["goal"], new.rewards)
            assert new.prompt[0]["content"].endswith(f"Overall score: {one['goal']}.")
            assert new.meta["goal"] == one["goal"]
            assert "wl"[new.labels.index(max(new.labels))] == one["chosen"]
            assert values == [one["R_w"], one["R_l"]]
            assert abs(values[0] - values[1]) == pytest.approx(one["margin"], abs=1e-12)


scores = st.lists(st.integers(2, 20).map(lambda half: half / 2), min_size=2, max_size=5)


@given(rewards=scores)
def test_both_ends_are_goals(rewards):
    """A row's labels order the responses by their distance from its goal, its own response on top."""
    made = outcome(reward_augmented, scored(*rewards))
    if len(set(rewards)) == 1:
        assert isinstance(made, str)
        return
    best, worst = made
    assert (best.meta["goal"], worst.meta["goal"]) == (max(rewards), min(rewards))
    assert best.responses == worst.responses
    for new in made:
        distances = [abs(new.meta["goal"] - reward) for reward in rewards]
        assert max(new.labels) == 1
        assert min(new.labels) == 0
        order = sorted(range(len(rewards)), key=lambda i: distances[i])
        assert [new.labels[i] for i in order] == sorted(new.labels, reverse=True)
        assert new.labels.index(1.0) == rewards.index(new.meta["goal"])


def test_the_wording_is_pinned():
    """A change of wording is a change of every model trained with it."""
    assert hashlib.sha256(TEMPLATE.encode()).hexdigest()[:16] == "9bbcd516fb5e219b"
    assert composed("pipeline=[reward_augmented]")["pipeline"]["reward_augmented"]["template"] == TEMPLATE


@pytest.mark.parametrize(
    ("number", "text"), [(9.0, "9"), (6.5, "6.5"), (-3.0, "-3"), (1e6, "1000000"), (0.1, "0.1")]
)
def test_numbers_as_one_writes_them(number, text):
    assert shown(number) == text


def test_places_of_the_goal():
    text = f"{STATED}\nOverall score: 9."
    plain, own = scored(9.0, 2.0, prompt="ask"), scored(9.0, 2.0, prompt="ask")
    own.prompt.insert(0, {"role": "system", "content": "Be brief."})
    ask = {"role": "user", "content": "ask"}
    first = {
        (name, form): next(iter(reward_augmented(example, form=form))).prompt
        for name, example in {"plain": plain, "own": own}.items()
        for form in ("system", "user", "auto")
    }
    begun = [{"role": "user", "content": f"{text}\n\nask"}]
    assert first == {
        ("plain", "system"): [{"role": "system", "content": text}, ask],
        ("plain", "user"): begun,
        ("plain", "auto"): begun,
        ("own", "system"): [{"role": "system", "content": f"Be brief.\n\n{text}"}, ask],
        ("own", "user"): [own.prompt[0], *begun],
        ("own", "auto"): [{"role": "system", "content": f"Be brief.\n\n{text}"}, ask],
    }


def test_no_row_shares_its_prompt_with_another():
    example = scored(9.0, 2.0)
    before = deepcopy(example)
    best, worst = reward_augmented(example, form="user")
    best.prompt[0]["content"] = "changed"
    assert worst.prompt[0]["content"].endswith("Overall score: 2.\n\nask")
    assert example == before


def test_validation_asks_for_the_best_and_stays_single():
    example = scored(4.0, 4.0)
    (made,) = reward_augmented(example, split="validation")
    assert made.prompt[0]["content"] == f"{STATED}\nOverall score: 10."
    assert (made.labels, made.id, made.meta) == (example.labels, example.id, {"goal": 10.0})


def test_second_scores_must_agree():
    ratings = {"agree": [{"a": 4.0, "b": 5.0}, {"a": 4.0}], "contradict": [{"a": 1.0, "b": 2.0}, {"a": 2.0}]}
    made = {
        name: outcome(reward_augmented, scored(9.0, 2.0, meta={"ratings": values}), agree="ratings")
        for name, values in ratings.items()
    }
    assert len(made["agree"]) == 2
    assert made["contradict"] == "ratings are lower for the best response than for the worst"
    assert len(outcome(reward_augmented, scored(9.0, 2.0), agree="ratings")) == 2
    assert len(outcome(reward_augmented, scored(9.0, 2.0, meta={"ratings": ratings["contradict"]}))) == 2


def test_rows_without_scores_of_the_scale():
    assert outcome(reward_augmented, row()) == "no raw scores (rewards)"
    beyond = outcome(reward_augmented, scored(11.0, 2.0))
    assert beyond == "a raw score beyond 1..10: set pipeline.reward_augmented.scale=[low,high]"
    assert len(outcome(reward_augmented, scored(11.0, 2.0), scale=[0.0, 20.0])) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"form": "sytem"}, "pipeline.reward_augmented.form=sytem: did you mean 'system'?"),
        ({"template": "Score: {gaol}"}, "its fields are {goal}, {low} and {high}: KeyError('gaol')"),
        ({"template": "Score: {"}, "its fields are {goal}, {low} and {high}"),
        ({"template": "Do well."}, "it never says {goal}"),
    ],
)
def test_options_that_cannot_work(options, message):
    with pytest.raises(ConfigError) as error:
        list(reward_augmented(scored(9.0, 2.0), **options))
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("form", "make"), [("system", byte_level), ("user", byte_level), ("user", llama_style)]
)
def test_the_goal_comes_through_a_chat_template(form, make):
    """Also through one that refuses system turns."""
    tokenizer = make()
    for new in reward_augmented(scored(9.0, 2.0), form=form):
        said = tokenizer.decode(Encoder(tokenizer).prompt_ids(new.prompt))
        assert new.prompt[0]["content"] in said
        assert said.index("Overall score") < said.index("ask")
