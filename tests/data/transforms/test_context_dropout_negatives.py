"""A negative that lacks what a part of the context says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alignlab.data.transforms.context_dropout_negatives import context_dropout_negatives
from alignlab.data.transforms.words import SENTENCE, content_words
from alignlab.errors import ConfigError
from tests.data.transforms.hand_made import row
from tests.data.transforms.listed import outcome

PROMPT = "The fox lives in the forest. The owl hunts at night. What do you know?"
ANSWER = "The owl is awake by night. I know that the fox is in the forest. That is all."
facts = st.lists(
    st.sampled_from(["The fox runs.", "An owl hunts.", "Rivers flow!", "It is so.", "Owls like rivers."]),
    min_size=1,
    max_size=5,
).map(" ".join)


def said(turns):
    return turns if isinstance(turns, str) else turns[-1]["content"]


def short(prompt):
    return [turn["content"] for turn in prompt]


def test_a_negative_without_the_hidden_facts():
    """One fact is hidden, or both are."""
    found = set()
    for seed in range(20):
        (made,) = context_dropout_negatives(row(PROMPT, [ANSWER, "no"]), seed=seed)
        assert said(made.responses[0]) == ANSWER
        assert (made.prompt, made.labels) == (row(PROMPT).prompt, [1.0, 0.0])
        found.add(said(made.responses[1]))
    assert found == {
        "I know that the fox is in the forest. That is all.",
        "The owl is awake by night. That is all.",
        "That is all.",
    }


def test_the_same_response_after_a_shorter_prompt():
    found = set()
    for seed in range(20):
        (made,) = context_dropout_negatives(row(PROMPT, [ANSWER, "no"]), side="prompt", seed=seed)
        whole, cut = made.meta["prompts"]
        assert whole == made.prompt == row(PROMPT).prompt
        assert [said(turns) for turns in made.responses] == [ANSWER, ANSWER]
        found |= set(short(cut))
    assert found == {
        "The owl hunts at night. What do you know?",
        "The fox lives in the forest. What do you know?",
        "What do you know?",
    }


@given(prompt=facts, answer=facts, rate=st.sampled_from([0.1, 0.5, 1.0]), seed=st.integers(0, 5))
def test_any_text(prompt, answer, rate, seed):
    """What is left of the response is some of its sentences, in order; what is gone, the short prompt cannot tell."""
    example = row(prompt, [answer, "no"])
    options = {"rate": rate, "seed": seed}
    made = outcome(context_dropout_negatives, example, **options)
    joined = outcome(context_dropout_negatives, example, side="prompt", **options)
    if isinstance(joined, str):
        assert joined == made
        assert len(set(SENTENCE.findall(prompt))) == 1
        return
    (cut,) = short(joined[0].meta["prompts"][1])
    assert cut.split()[-1] == prompt.split()[-1]
    assert set(SENTENCE.findall(cut)) < set(SENTENCE.findall(prompt))
    lost = content_words(prompt) - content_words(cut)
    kept = [text for text in SENTENCE.findall(answer) if not content_words(text) & lost]
    if isinstance(made, str):
        assert kept in ([], SENTENCE.findall(answer))
    else:
        assert said(made[0].responses[1]) == " ".join(kept)


def test_a_conversation():
    """The last sentence of every user turn stays, and so does what others say."""
    example = row(responses=["Foxes.", "no"])
    example.prompt[:] = [
        {"role": "system", "content": "Be kind. Be brief."},
        {"role": "user", "content": "I saw a fox. Hello."},
        {"role": "assistant", "content": "Hello. How are you?"},
        {"role": "user", "content": "Fine. What did I see?"},
    ]
    (made,) = context_dropout_negatives(example, side="prompt", rate=1.0)
    assert short(made.meta["prompts"][1]) == [
        "Be kind. Be brief.",
        "Hello.",
        "Hello. How are you?",
        "What did I see?",
    ]
    assert short(example.prompt)[1] == "I saw a fox. Hello."


def test_others_may_stay():
    example = row(PROMPT, ["no", ANSWER], [0.5, 1.0], rewards=[1.0, 2.0])
    (made,) = context_dropout_negatives(example, rate=1.0, keep_others=True)
    assert [said(turns) for turns in made.responses] == ["no", ANSWER, "That is all."]
    assert (made.labels, made.rewards) == ([0.5, 1.0, 0.0], None)
    (made,) = context_dropout_negatives(example, rate=1.0, keep_others=True, side="prompt")
    assert [short(prompt) for prompt in made.meta["prompts"]] == [[PROMPT], [PROMPT], ["What do you know?"]]


@pytest.mark.parametrize(
    ("example", "reason"),
    [
        (row("Why?"), "the prompt has no sentence but its last: there is no context to hide"),
        (row(PROMPT), "no sentence of the best response needs the hidden context"),
        (row(PROMPT, ["An owl.", "no"]), "every sentence of the best response needs the hidden context"),
        (row(PROMPT, ["An owl."], [0.0]), "the best label is not above 0: no negative can rank below it"),
    ],
)
def test_rows_without_such_a_negative(example, reason):
    assert outcome(context_dropout_negatives, example, rate=1.0) == reason


@pytest.mark.parametrize(
    ("options", "message"), [({"side": "prompts"}, "side=prompts: did you mean 'prompt'?")]
)
def test_options_that_cannot_work(options, message):
    with pytest.raises(ConfigError) as error:
        list(context_dropout_negatives(row(PROMPT), **options))
    assert f"pipeline.context_dropout_negatives.{message}" in str(error.value)
