"""Pairs out of conversations: what displeased is rejected, and what was told to write the chosen one is not trained."""

import pytest

from alignlab.data.reading.rows import Dropped
from alignlab.errors import ConfigError
from alignlab.judges import satisfaction
from alignlab.judges import wildfeedback as module
from alignlab.judges.llm.asking import compared
from alignlab.judges.llm.backend import Chosen, Unanswered
from alignlab.judges.llm.local import LocalModel
from alignlab.judges.satisfaction import AskedModel, by_rules
from alignlab.judges.wildfeedback import wildfeedback
from alignlab.policies.causal_lm.model import CausalLM
from alignlab.types import Example
from tests.judges.asked import asked, save_policy

ASK, REPLY, MORE = "Tell me about the fox.", "The fox is red.", "It eats mice."


def dialogue(*texts, name="talk", **meta):
    turns = [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(texts)]
    return Example(turns, ["The last reply."], [1.0], id=name, meta=meta)


ROWS = [
    dialogue(
        ASK, REPLY, "No, that is too short. Tell me what it eats.", MORE, "Great, thanks!", models=["m"]
    ),
    dialogue(ASK, REPLY, "Thank you. And the owl?", name="pleased"),
    dialogue(ASK, name="alone"),
    dialogue(ASK, REPLY, "That's wrong.", MORE, "You forgot the owl.", name="twice", source="here"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_policy(CausalLM, tmp_path_factory.mktemp("model"))


def test_what_people_write_is_read_by_rules():
    complaints = {
        "No, that is not what I meant!": "misunderstood",
        "That\u2019s incorrect.": "wrong",
        "You didn't answer it.": "unfinished",
        "Please rewrite it.": "redo",
        "Make it a bit shorter, it is too long": "form",
        "This is useless, thanks for nothing.": "useless",
    }
    assert {text: by_rules(text) for text in complaints} == complaints
    assert [by_rules(text) for text in ("Perfect!", "And in winter?", "Now tell me of the north.")] == [
        "pleased",
        "neither",
        "neither",
    ]


def test_the_reply_that_displeased_is_rejected_and_the_feedback_is_told_but_not_trained(folder, monkeypatch):
    told = []
    call = module.Writer.__call__
    monkeypatch.setattr(
        module.Writer, "__call__", lambda self, begun, how: told.extend(begun) or call(self, begun, how)
    )
    made = [*wildfeedback(ROWS, model=folder, max_new_tokens=6)]
    nobody = "no turn of the person shows that a reply displeased"
    assert made[1:3] == [Dropped("pleased", nobody), Dropped("alone", nobody)]
    pairs = [made[0], *made[3:]]
    assert [one.id for one in pairs] == ["talk/1", "twice/1", "twice/3"]
    assert [one.responses[1] for one in pairs] == [REPLY, REPLY, MORE]
    assert pairs[0].prompt == ROWS[0].prompt[:1]
    assert pairs[2].prompt == ROWS[3].prompt[:3]
    assert pairs[0].meta == {
        "feedback": "No, that is too short. Tell me what it eats.",
        "complaint": "form",
        "checklist": ["No, that is too short.", "Tell me what it eats."],
    }
    assert pairs[1].meta["source"] == "here"
    for one, begun in zip(pairs, told, strict=True):
        assert one.labels == [1.0, 0.0]
        assert one.meta["feedback"] in str(begun.prompt)
        assert one.meta["feedback"] not in str(one.prompt)


def test_a_language_model_may_read_the_turns(folder, monkeypatch):
    def choose(self, questions):
        assert all(question.labels == ("A", "B", "C") for question in questions)
        shares = {"Thank you": Chosen((0.2, 0.5, 0.3), 1.0), "forgot": Unanswered("too long")}
        return [
            next(
                (said for text, said in shares.items() if text in question.text), Chosen((0.6, 0.1, 0.3), 1.0)
            )
            for question in questions
        ]

    monkeypatch.setattr(LocalModel, "choose", choose)
    monkeypatch.setattr(LocalModel, "spellings", lambda self, label: [0])
    made = [
        one
        for one in wildfeedback(ROWS, model=folder, judge=folder, max_new_tokens=6)
        if isinstance(one, Example)
    ]
    assert [(one.id, one.meta["complaint"]) for one in made] == [("pleased/1", "displeased")]


def test_what_cannot_work_is_told(folder):
    with pytest.raises(ConfigError, match=r"template: it never says \{feedback\}"):
        [*wildfeedback(ROWS, model=folder, template="Be good.")]
    with pytest.raises(ConfigError, match="model is missing"):
        [*wildfeedback(ROWS)]
    with pytest.raises(ConfigError, match="A, B, C are no single tokens of this model"):
        AskedModel(folder, "x.judge")


def test_a_judge_is_shown_the_checklist_between_marks():
    question = compared(
        asked(meta={"checklist": ["It eats."]}), 0, 1, satisfaction.DISPLEASED, reasoned=False
    )
    shown = question.text.split("[WHAT THE PERSON WANTS ")[1]
    assert shown.split("\n")[1] == "- It eats."
    assert "WHAT THE PERSON WANTS" not in compared(asked(), 0, 1, {}, reasoned=False).text
