"""The distribution that tokens are drawn from, against exact probabilities and the warpers of transformers."""

import pytest
import torch
from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from alignlab.errors import ConfigError
from alignlab.sampling.distribution import choose, distribution
from alignlab.sampling.noise import key_of
from alignlab.sampling.settings import Sampling

PROBS = torch.tensor([[0.4, 0.25, 0.15, 0.1, 0.07, 0.03]])
CASES = [
    ({}, [0.4, 0.25, 0.15, 0.1, 0.07, 0.03]),
    ({"top_k": 2}, [0.4 / 0.65, 0.25 / 0.65, 0, 0, 0, 0]),
    ({"top_p": 0.6}, [0.4 / 0.65, 0.25 / 0.65, 0, 0, 0, 0]),
    ({"top_p": 0.66}, [0.5, 0.3125, 0.1875, 0, 0, 0]),
    ({"top_p": 1e-9}, [1.0, 0, 0, 0, 0, 0]),
    ({"top_p": 1e-320}, [1.0, 0, 0, 0, 0, 0]),
    ({"temperature": 1e-320}, [1.0, 0, 0, 0, 0, 0]),
    # of the three that top_k keeps (0.5, 0.3125, 0.1875), the fewest that hold 0.7
    ({"top_k": 3, "top_p": 0.7}, [0.4 / 0.65, 0.25 / 0.65, 0, 0, 0, 0]),
    ({"temperature": 0.5}, [p**2 / 0.2608 for p in (0.4, 0.25, 0.15, 0.1, 0.07, 0.03)]),
]


@pytest.mark.parametrize(("knobs", "expected"), CASES)
def test_probabilities_and_draws_are_exact(knobs, expected):
    how, expected = Sampling(**knobs), torch.tensor(expected, dtype=torch.float64)
    logits = PROBS.double().log()
    assert distribution(logits, how).exp()[0].tolist() == pytest.approx(expected.tolist(), abs=1e-4)
    count = 20000
    places = torch.arange(count)
    keys = torch.tensor([key_of(0, "row")] * count)
    tokens, logps = choose(logits.expand(count, -1), how, keys, torch.zeros_like(places), places)
    shares = torch.bincount(tokens, minlength=6).double() / count
    assert ((shares - expected).abs() <= 4.5 * (expected * (1 - expected) / count).sqrt() + 1e-12).all()
    assert logps.exp().tolist() == pytest.approx(expected[tokens].tolist(), abs=1e-4)


def test_truncation_is_that_of_transformers():
    logits = torch.randn(40, 31, generator=torch.Generator().manual_seed(0))
    ours = distribution(logits, Sampling(temperature=0.7, top_k=9, top_p=0.8))
    theirs = logits
    for warper in (TemperatureLogitsWarper(0.7), TopKLogitsWarper(9), TopPLogitsWarper(0.8)):
        theirs = warper(None, theirs)
    torch.testing.assert_close(ours, theirs.log_softmax(-1))


@pytest.mark.parametrize(
    ("knobs", "said"),
    [
        ({"temperature": 0.0}, "temperature=0.0: expected a number above 0"),
        ({"top_p": 0.0}, "top_p=0 keeps no token"),
        ({"top_p": 1.5}, "a share between 0 and 1"),
        ({"decoder": "greedy", "temperature": 0.7}, "draws nothing at random"),
    ],
)
def test_settings_that_make_no_sense_are_refused(knobs, said):
    with pytest.raises(ConfigError, match=said):
        Sampling(**knobs)
