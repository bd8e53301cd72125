"""The reason of a preference as a turn to learn."""

from dataclasses import replace

import pytest

from alignlab.data.reading.rows import Drop, messages
from alignlab.data.tables.lists import take
from alignlab.data.transforms.pairs import pairs
from alignlab.data.transforms.rationale import QUESTION, rationale
from alignlab.errors import ConfigError
from alignlab.lab.world import examples
from alignlab.types import Example

ASKED = [{"role": "user", "content": "Sky?"}]


def row(**changes):
    given = {"prompt": ASKED, "responses": ["No.", "Blue.", "Grey."], "labels": [0.4, 0.9, 0.5], "id": "0"}
    return Example(**{**given, **changes})


def meta(example, **settings):
    (result,) = rationale(example, **settings)
    assert (result.responses, result.labels) == (example.responses, example.labels)
    return result.meta


def test_best_and_worst_after_the_question():
    made = meta(row(meta={"rationale": " It is true. ", "source": "s"}))
    (turn,) = made["rationale_prompt"]
    place = 1 if turn["content"].index("Blue.") < turn["content"].index("No.") else 2
    first, second = ("Blue.", "No.") if place == 1 else ("No.", "Blue.")
    assert turn == {
        "role": "user",
        "content": f"Sky?\n\n{QUESTION}\n\nResponse 1: {first}\n\nResponse 2: {second}",
    }
    assert made["rationale"] == f"Response {place} is better: It is true."
    assert made["source"] == "s"


def test_places_are_drawn_by_seed_and_row():
    """Each about half the time, and told truly."""
    drawn = []
    for seed in range(10):
        for name in "abcdefghij":
            made = meta(row(id=name), template=True, seed=seed)
            text = made["rationale_prompt"][0]["content"]
            place = 1 if text.index("Blue.") < text.index("No.") else 2
            assert made["rationale"] == f"Response {place} is better: it is rated 0.9 against 0.4."
            assert made == meta(row(id=name), template=True, seed=seed)
            drawn.append(place)
    assert 30 < drawn.count(1) < 70


def test_a_conversation_keeps_its_system_turn():
    prompt = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi."},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": "Sky?"},
    ]
    turns = [{"role": "assistant", "content": "Blue."}]
    made = meta(
        row(prompt=prompt, responses=[turns, "No."], labels=[1.0, 0.0]), template=True, question="Which?"
    )
    system, user = messages(made["rationale_prompt"], "rationale_prompt")
    assert system == prompt[0]
    assert user["content"].startswith(
        "User: Hi.\n\nAssistant: Hello.\n\nUser: Sky?\n\nWhich?\n\nResponse 1: "
    )
    assert ": Blue." in user["content"]


@pytest.mark.parametrize("known", [{}, {"rationale": None}, {"rationale": "  "}])
def test_rows_without_a_reason(known):
    with pytest.raises(Drop, match="no rationale"):
        list(rationale(row(meta=known)))
    assert meta(row(meta=known), template=True)["rationale"].endswith("it is rated 0.9 against 0.4.")


CRITIQUES = ["Too short.", "Right.", "Vague."]
REASONS = [{"honesty": "It hides."}, {"honesty": "It tells.", "instruction_following": "It does."}, {}]


@pytest.mark.parametrize("kind", ["general", "detailed"])
def test_what_a_judge_said_of_best_and_worst(kind):
    """It goes with its response, whatever other steps make of the list, and a reason of the row's own comes first."""
    whole = row(meta={"critiques": CRITIQUES, "rationales": REASONS})
    for example in (whole, *pairs(whole), take(whole, [2, 1, 0])):
        made = meta(example, kind=kind)
        asked, told = made["rationale_prompt"][0]["content"], made["rationale"]
        place = 1 if asked.index("Blue.") < asked.index("No.") else 2
        best, worst = "Right.", "Too short."
        if kind == "detailed":
            best, worst = "Honesty: It tells.\nInstruction following: It does.", "Honesty: It hides."
        said = (best, worst) if place == 1 else (worst, best)
        assert told == f"Response {place} is better.\n\nResponse 1: {said[0]}\n\nResponse 2: {said[1]}"
    own = replace(whole, meta={**whole.meta, "rationale": "So it is."})
    assert meta(own, kind=kind)["rationale"].endswith("is better: So it is.")
    silent = {"critiques": ["", *CRITIQUES[1:]], "rationales": [{}, *REASONS[1:]]}
    with pytest.raises(Drop, match="no rationale"):
        list(rationale(row(meta=silent), kind=kind))
    with pytest.raises(ConfigError, match=r"pipeline\.rationale\.kind"):
        list(rationale(whole, kind="long"))


def test_rows_without_a_preference():
    with pytest.raises(Drop, match="same label"):
        list(rationale(row(labels=[0.5, 0.5, 0.5]), template=True))


def test_template_on_the_lab():
    for example in examples(split="train", size=20):
        made = meta(example, template=True)
        assert all(text in made["rationale_prompt"][0]["content"] for text in (example.prompt[0]["content"],))
