"""Negatives that a model writes along the best response, without part of the context."""

import random

import pytest

from alignlab.data.reading.rows import Dropped
from alignlab.errors import ConfigError
from alignlab.policies.causal_lm.model import CausalLM
from alignlab.sampling import context_dropout_completions as module
from alignlab.sampling.context_dropout_completions import beginning, context_dropout_completions
from alignlab.sampling.continued_texts import Begun, Writer
from alignlab.sampling.settings import Sampling
from tests.data.transforms.hand_made import row
from tests.judges.asked import save_policy

PROMPT = "The fox eats mice. The owl can dig. Tell me about the fox."
ANSWER = "The fox is red. It eats mice and it can dig."


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_policy(CausalLM, tmp_path_factory.mktemp("model"))


def rows():
    return [row(PROMPT, [ANSWER, "no"], id=f"{i}") for i in range(3)] + [row("Why?", id="alone")]


def made(folder, **options):
    return [*context_dropout_completions(rows(), model=folder, **{"max_new_tokens": 8, **options})]


def test_a_negative_begins_as_sentences_of_the_best_response_do(folder):
    *some, alone = made(folder, likeness=1.0)
    assert alone == Dropped("alone", "the prompt has no sentence but its last: there is no context to hide")
    for one in some:
        chosen, rejected = one.responses
        assert (chosen, one.labels, one.prompt) == (ANSWER, [1.0, 0.0], row(PROMPT).prompt)
        assert rejected.split()[0] == "The"
        assert rejected != chosen
        assert one.meta["dropout"]["guided"]
    assert len({one.responses[1] for one in some}) == 3
    assert made(folder, likeness=1.0)[:3] == some


def test_what_is_too_much_alike_is_drawn_anew_and_in_the_end_without_a_guide(folder, monkeypatch):
    asked = []
    call = Writer.__call__

    def listening(self, begun, how):
        asked.append((begun, how.max_new_tokens))
        return call(self, begun, how)

    monkeypatch.setattr(Writer, "__call__", listening)
    some = made(folder, likeness=1e-9, tries=2)[:3]
    assert len(asked) == 2 * 2 + 1
    assert [most for _, most in asked] == [8, 8, 8, 8, 16]
    assert all(one.beginning == "" for one in asked[-1][0])
    for begun, _ in asked:
        for one in begun:
            assert one.prompt != row(PROMPT).prompt
            assert one.prompt[0]["content"].endswith("Tell me about the fox.")
    assert not any(one.meta["dropout"]["guided"] for one in some if not isinstance(one, Dropped))
    hidden = {one.prompt[0]["content"] for begun, _ in asked for one in begun}
    assert len(hidden) == 3


def test_likeness_is_the_cosine_of_the_vectors(folder, monkeypatch):
    monkeypatch.setattr(module, "pooled", lambda loaded, texts: [Vector(text == ANSWER) for text in texts])
    assert {one.meta["dropout"]["likeness"] for one in made(folder)[:3]} == {0.25}


class Vector:
    def __init__(self, best):
        self.best = best

    def __matmul__(self, other):
        return 0.25 if self.best and not other.best else 1.0


def test_a_beginning_has_a_word_and_not_all():
    some = {beginning("It eats mice.", random.Random(seed)) for seed in range(20)}
    assert some == {"It", "It eats"}
    assert beginning("Why?", random.Random(0)) == "Why?"


def test_a_text_goes_on_as_it_begins_and_what_is_no_model_is_told(folder, tmp_path):
    writer = Writer(folder, "pipeline.x.model")
    prompt = row("Tell me.").prompt
    texts = writer([Begun("0", prompt, "The fox"), Begun("1", prompt)], Sampling(max_new_tokens=4))
    assert texts[0].startswith("The fox ")
    ids = writer.loaded.encoder.prompt_ids(prompt)
    assert writer.sampler.model.config.max_position_embeddings == writer.most
    long = row("fox " * writer.most).prompt
    assert writer([Begun("2", long)], Sampling()) == [None]
    assert len(ids) < writer.most
    for wrong, message in (
        (None, "is missing: name the model/ folder"),
        (str(tmp_path / "x"), "no such folder"),
    ):
        with pytest.raises(ConfigError, match=message):
            Writer(wrong, "pipeline.x.model")
