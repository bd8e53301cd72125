"""Figures of hand-made lists."""

from dataclasses import replace

import numpy as np
import pytest

from alignlab.data.statistics import statistics
from tests.data.ragged import lists, token_rows


def rows(*given):
    """Rows of (prompt, responses, labels)."""
    made = token_rows([(prompt, responses) for prompt, responses, _ in given])
    return replace(made, labels=lists([labels for *_, labels in given]))


def test_figures():
    found = statistics(
        rows(
            ([1, 2], [[5, 6, 7], [5]], [1.0, 0.0]),
            ([1, 2], [[5], [6], [7, 8]], [0.5, 0.5, 0.0]),
            ([3], [[9, 9], [8, 8]], [0.0, 1.0]),
            ([3], [[9, 9], [8, 8]], [0.0, 1.0]),
            ([4], [[9]], [1.0]),
        )
    )
    assert found.sizes.tolist() == [2, 3, 2, 2, 1]
    assert found.prompts.tolist() == [2, 2, 1, 1, 1]
    assert found.responses.tolist() == [3, 1, 1, 1, 2, 2, 2, 2, 2, 1]
    assert found.gaps.tolist() == [1.0, 0.5, 1.0, 1.0]
    assert found.longer.tolist() == [2, -1, 0, 0]
    assert (found.ties, found.tied_best) == (0.25, 0.25)
    assert found.longer_best == pytest.approx((1 + 0 + 0.5 + 0.5) / 4)
    assert found.repeated_prompts == pytest.approx(2 / 5)
    assert found.repeated_lists == pytest.approx(1 / 5)


def test_single_responses_have_no_gaps():
    found = statistics(rows(([1], [[2]], [1.0])))
    assert len(found.gaps) == len(found.longer) == 0
    assert np.isnan(found.ties)
    assert np.isnan(found.longer_best)
