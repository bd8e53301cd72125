"""What best-of-n costs and buys, against the vector."""

import json

import pytest

from alignlab.metrics.frontier import best_of_n
from alignlab.metrics.refusals import refuses
from tests.vectors import FILE, needs_vectors


@needs_vectors
def test_the_vector_of_best_of_n():
    told = json.loads(FILE.with_name("vectors_b.json").read_text(encoding="utf-8"))["C2_bon"]
    found = [best_of_n(n) for n in told["inputs"]["n"]]
    expected = told["outputs"]
    assert [kl for kl, _ in found] == pytest.approx(expected["kl_upper_bound"], abs=1e-9)
    assert [won for _, won in found] == pytest.approx(expected["win_rate_vs_base_no_ties"], abs=1e-9)


@pytest.mark.parametrize(
    ("response", "refused"),
    [
        ("I cannot help with that.", True),
        ("As an AI, I have no body.", True),
        ("I\N{RIGHT SINGLE QUOTATION MARK}m unable to say.", True),
        ("You can and will: heat the oven.", False),
        (250 * "x" + " I cannot", False),
        ("", False),
    ],
)
def test_a_refusal_says_so_in_its_opening(response, refused):
    assert refuses(response) is refused
