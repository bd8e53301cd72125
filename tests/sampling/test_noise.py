"""Random numbers by key: the published values of the generator, and noise that knows its own key alone."""

import pytest
import torch

from alignlab.sampling import noise
from alignlab.sampling.noise import gumbel, key_of, philox

PI = [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344, 0xA4093822, 0x299F31D0]
KNOWN = [
    ([0] * 6, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
    ([0xFFFFFFFF] * 6, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
    (PI, [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1]),
]


@pytest.mark.parametrize(("words", "expected"), KNOWN)
def test_philox_gives_its_published_values(words, expected):
    words = [torch.tensor([word]) for word in words]
    assert [int(word) for word in philox(tuple(words[:4]), tuple(words[4:]))] == expected


def test_words_are_the_same_whether_counters_are_whole_or_broadcast():
    keys = torch.tensor([key_of(0, "a"), key_of(1, "b")])
    narrow = (
        torch.arange(5)[None],
        torch.tensor([[3], [9]]),
        torch.tensor([[0], [1]]),
        torch.tensor([[0], [7]]),
    )
    whole = tuple(word.expand(2, 5).clone() for word in narrow)
    key = keys[:, :1], keys[:, 1:]
    assert all(map(torch.equal, philox(narrow, key), philox(whole, key)))


def test_noise_depends_on_its_own_key_alone(monkeypatch):
    keys = torch.tensor([key_of(seed, name) for seed in (0, 1) for name in ("a", "b")])
    samples, places = torch.tensor([0, 1, 0, 1]), torch.tensor([5, 5, 6, 0])
    together = gumbel(keys, samples, places, 50)
    assert len({tuple(row.tolist()) for row in together}) == 4
    for i in range(4):
        row = slice(i, i + 1)
        assert torch.equal(gumbel(keys[row], samples[row], places[row], 50), together[row])
    monkeypatch.setattr(noise, "AT_ONCE", 1)
    assert torch.equal(gumbel(keys, samples, places, 50), together)


def test_noise_is_gumbel_distributed():
    places = torch.arange(200)
    values = (
        gumbel(torch.tensor([key_of(0, "x")] * 200), torch.zeros_like(places), places, 1000)
        .double()
        .flatten()
    )
    assert torch.isfinite(values).all()
    assert values.mean().item() == pytest.approx(0.5772157, abs=0.012)  # four standard errors
    assert values.var().item() == pytest.approx(torch.pi**2 / 6, abs=0.04)
    share = (values > 5).double().mean().item()
    assert share == pytest.approx(1 - torch.exp(-torch.exp(torch.tensor(-5.0))).item(), abs=8e-4)
