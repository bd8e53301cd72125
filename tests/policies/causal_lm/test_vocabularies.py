"""A reference reads the token ids that the policy's tokenizer wrote: they must be the same tokens."""

import logging
from types import SimpleNamespace

import pytest

from alignlab.errors import ConfigError
from alignlab.lab import vocabulary
from alignlab.policies.causal_lm.vocabularies import require_same_tokens, require_same_width


def test_the_same_tokens_pass_whatever_their_template(caplog):
    own, other = vocabulary.build(), vocabulary.build()
    other.chat_template = "{{ messages }}"
    with caplog.at_level(logging.WARNING, logger="alignlab"):
        require_same_tokens(own, other, "ref")
    assert not caplog.records


def test_as_many_others_are_refused_with_the_first_that_differs():
    own, other = vocabulary.build("zebra"), vocabulary.build("otter")
    assert len(own) == len(other)
    number = own.get_vocab()["▁zebra"]
    with pytest.raises(
        ConfigError, match=rf"1 of {len(own)} token ids differ \(id {number} is '▁otter' there, and '▁zebra'"
    ):
        require_same_tokens(own, other, "ref")


def test_tokens_of_one_side_alone(caplog):
    own, other = vocabulary.build("zebra"), vocabulary.build()
    with caplog.at_level(logging.WARNING, logger="alignlab"):
        require_same_tokens(other, own, "ref")
        assert not caplog.records
        require_same_tokens(own, other, "ref")
    assert "the tokenizer of ref lacks 1 tokens of the model that trains (first: '▁zebra')" in caplog.text


def test_distributions_of_another_width_do_not_compare():
    def model(size):
        config = SimpleNamespace(vocab_size=size)
        return SimpleNamespace(config=SimpleNamespace(get_text_config=lambda: config))

    require_same_width(model(64), model(64), "ref")
    with pytest.raises(ConfigError, match="ref gives 72 logits and the model that trains 64"):
        require_same_width(model(64), model(72), "ref")
