"""Ragged lists, drawn by hypothesis; scores and labels are coarse, so that ties are common."""

import torch
from hypothesis import strategies as st

VALUES = st.integers(-3, 3)


@st.composite
def ragged(draw, size=5):
    """(scores, labels, where) of up to four lists; where a list is shorter, both hold nonsense."""
    shape = (draw(st.integers(1, 4)), size)
    counts = torch.tensor([[draw(st.integers(1, size))] for _ in range(shape[0])])
    where = torch.arange(size) < counts
    scores, labels = (
        torch.tensor([[draw(VALUES) for _ in range(size)] for _ in range(shape[0])], dtype=torch.float64)
        for _ in range(2)
    )
    return scores / 2, labels / 4, where
