"""The bad response alone, or after responses to hold against it."""

import pytest
import torch
from hypothesis import given

from alignlab.data.transforms.negatives_only import negatives_only
from alignlab.errors import ConfigError
from alignlab.objective.load import load_objective
from tests.data.transforms.listed import listed, outcome, some_labels


@given(labels=some_labels)
def test_the_best_responses_are_gone(labels):
    made = outcome(negatives_only, listed(labels))
    between = [i for i, label in enumerate(labels) if min(labels) < label < max(labels)]
    if not between:
        assert isinstance(made, str)
        return
    (new,) = made
    assert new.responses == [str(i) for i in [*between, labels.index(min(labels))]]
    assert new.labels == [1.0] * len(between) + [0.0]
    assert new.rewards == [10 * labels[int(i)] for i in new.responses]


def test_samples_of_the_model():
    example = listed([1.0, 0.0], meta={"samples": ["s1", "1", "s2"], "source": "s"})
    (made,) = negatives_only(example, against="samples")
    said = [turns if isinstance(turns, str) else turns[0]["content"] for turns in made.responses]
    assert (said, made.labels, made.rewards) == (["s1", "s2", "1"], [1.0, 1.0, 0.0], None)
    assert made.meta == example.meta


def test_nothing_but_the_negative():
    (made,) = negatives_only(listed([1.0, 0.0, 0.5]), against="none")
    assert (made.responses, made.labels, made.rewards) == (["1"], [0.0], [0.0])
    (lone,) = negatives_only(listed([0.25]), against="none")
    assert (lone.responses, lone.labels) == (["0"], [0.0])


@pytest.mark.parametrize(
    ("labels", "against", "reason"),
    [
        ([1.0, 0.0], "samples", 'no samples of the model in meta["samples"]'),
        (
            [1.0, 0.0],
            "middle",
            "no response between the best and the worst: use against=samples or against=none",
        ),
        ([0.5, 0.5], "none", "no response is worse than another"),
        ([0.5], "none", "a desirable response"),
    ],
)
def test_rows_without_a_negative_or_an_opponent(labels, against, reason):
    assert outcome(negatives_only, listed(labels), against=against) == reason


def test_d2o_takes_the_last_response_for_the_negative():
    """It holds the mean of the others against it."""
    (made,) = negatives_only(listed([0.3, 0.0, 1.0, 0.6]))
    logps = torch.tensor([[-1.0, -2.0, -4.0]])
    found = load_objective("d2o", beta=0.5, alpha=0.25)(
        logps=logps, ref_logps=torch.zeros(1, 3), labels=torch.tensor([made.labels])
    )
    expected = -torch.nn.functional.logsigmoid(torch.tensor(0.5 * -1.5 - 0.25 * -4.0))
    assert found.loss.item() == pytest.approx(expected.item())


def test_a_misspelt_choice():
    with pytest.raises(
        ConfigError, match=r"pipeline.negatives_only.against=sample: did you mean 'samples'\?"
    ):
        list(negatives_only(listed([1.0, 0.0]), against="sample"))
