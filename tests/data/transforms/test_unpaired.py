"""Single responses from rated lists."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from alignlab.data.transforms.unpaired import unpaired
from alignlab.errors import ConfigError
from alignlab.objective.load import load_objective
from tests.data.transforms.listed import listed, outcome, some_labels


@given(labels=some_labels, threshold=st.sampled_from([0.0, 0.25, 0.5, 0.75]))
def test_every_response_by_the_threshold(labels, threshold):
    made = list(unpaired(listed(labels), choose="all", threshold=threshold))
    assert [row.responses for row in made] == [[str(i)] for i in range(len(labels))]
    assert [row.labels for row in made] == [[float(label >= threshold)] for label in labels]
    assert [row.rewards for row in made] == [[10 * label] for label in labels]
    assert [row.id for row in made] == [f"list/{i}" for i in range(len(labels))]


@given(labels=some_labels)
def test_best_and_worst(labels):
    made = outcome(unpaired, listed(labels))
    if len(labels) == 1:
        assert [row.labels for row in made] == [[float(labels[0] >= 0.5)]]
    elif len(set(labels)) == 1:
        assert made == "all responses have the same label"
    else:
        ends = [str(labels.index(max(labels))), str(labels.index(min(labels)))]
        assert [(row.responses, row.labels) for row in made] == [([ends[0]], [1.0]), ([ends[1]], [0.0])]


def test_kto_reads_these_labels_as_it_reads_the_pair():
    """A pair, and its two rows: the same mean loss."""
    (good, bad) = unpaired(listed([0.9, 0.2]))
    objective = load_objective("kto", z0="zero")
    logps, refs = torch.tensor([[-3.0, -4.0]]), torch.tensor([[-3.5, -3.0]])
    pair = objective(logps=logps, ref_logps=refs, labels=torch.tensor([[0.9, 0.2]]))
    labels = torch.tensor([good.labels, bad.labels])
    single = objective(logps=logps.T, ref_logps=refs.T, labels=labels)
    assert single.loss.item() == pytest.approx(pair.loss.item())


def test_a_misspelt_choice():
    with pytest.raises(ConfigError, match=r"pipeline.unpaired.choose=al: did you mean 'all'\?"):
        list(unpaired(listed([1.0, 0.0]), choose="al"))
