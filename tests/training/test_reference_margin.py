"""sDPO's diagnostic: how far a reference prefers already what it is to teach."""

import numpy as np
import pytest

from alignlab.training.references import reference_margin
from tests.data.ragged import token_rows
from tests.vectors import more


def rows(scores):
    """Lists with these log-probabilities under the reference, the best response first."""
    made = token_rows([([1], [[2 + k] for k in range(len(values))]) for values in scores])
    return made.with_cached({"ref_logps": np.array([value for values in scores for value in values])})


@pytest.mark.parametrize("model", ["S", "M1"])
def test_vector(model):
    case = more()["A1_sdpo"]
    scores, gaps = case["inputs"][f"ref_{model}"], case["outputs"][f"gamma_ref_{model}"]
    assert [reference_margin(rows([pair])) for pair in scores] == pytest.approx(gaps, abs=1e-9)
    assert reference_margin(rows(scores)) == pytest.approx(np.mean(gaps), abs=1e-9)


def test_lists_are_told_by_their_ends_and_rows_never_visited_are_passed_over():
    nan = float("nan")
    assert reference_margin(rows([[-1.0, -9.0, -4.0], [nan, nan], [-2.0, -1.0]])) == 1.0


def test_without_scores_there_is_no_margin():
    assert reference_margin(token_rows([([1], [[2], [3]])])) is None
