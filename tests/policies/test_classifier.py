"""Classifiers: what they give, which rows serve them, and that a folder is the one that was trained."""

from dataclasses import replace

import pytest
import torch

from alignlab import ConfigError, load_policy
from alignlab.data.batching.batches import Extras, collate
from alignlab.policies.causal_lm.pretrained import load
from alignlab.policies.classifier import Classifier
from alignlab.policies.policy import NO_REFERENCES
from alignlab.types import Example
from tests.data.ragged import token_rows
from tests.training.small import load_small

NAMES = ["bad", "so so", "good"]
ROWS = [([5], [[6, 7], [8]]), ([5], [[9, 10, 11], [6]])]


def classifier():
    model = Classifier.adopt(*load_small(), classes=NAMES)
    model.score.weight.data.normal_(generator=torch.Generator().manual_seed(2))
    return Classifier(model, classes=NAMES, heads=2)


def test_a_value_is_the_probability_of_the_class_that_a_row_names(tmp_path):
    policy, tokens = classifier(), token_rows(ROWS)
    named = [replace(tokens.examples[0], meta={"ratings": [{"class": 2.0}, {}]}), tokens.examples[1]]
    batch = collate(replace(tokens, examples=named), range(2), Extras(attributes=policy.attributes))
    signals = policy.signals(batch, NO_REFERENCES, policy.provides)
    probs = signals["class_logits"].softmax(dim=-1)
    assert signals["preference_values"].shape == (2, 2, 2)
    assert not torch.equal(*signals["preference_values"].unbind(dim=-1))
    torch.testing.assert_close(signals["values"][0, 0], probs[0, 0, 2])
    torch.testing.assert_close(signals["values"][0, 1], probs[0, 1].max())
    torch.testing.assert_close(signals["values"][1], probs[1].amax(dim=-1))
    policy.export(tmp_path)
    load_small()[1].save_pretrained(tmp_path)
    again = load_policy(tmp_path)
    assert again.policy.model.config.id2label == dict(enumerate(NAMES))
    assert again("What?", ["the fox", "a bat"])["class_logits"].shape == (2, 3)
    with pytest.raises(ConfigError, match=r"set policy.classes=\[bad,so so,good\]"):
        Classifier.adopt(*load(path=str(tmp_path)), classes=["a", "b", "c"])


def test_rows_have_to_name_classes_that_are_there():
    settings = {"attribute": "class", "classes": NAMES}

    def problems(*numbers):
        return [
            *Classifier.row_problems(
                settings, [Example([], ["a"], [0.0], id="7", meta={"ratings": [r]}) for r in numbers]
            )
        ]

    assert problems({"class": 2.0}, {}) == []
    assert "no training row names the class" in problems({"quality": 1.0})[0]
    assert "row 7: the class of a response is 3" in problems({"class": 1.0}, {"class": 3.0})[0]
    assert "name two classes or more" in next(Classifier.problems({"classes": ["one"]}))
    assert "names a twice" in next(Classifier.problems({"classes": ["a", "a"]}))
