"""What an objective says that it takes of labels is what its loss does with them."""

import pytest
from torch.testing import assert_close

from tests.invariants.batches import random_signals
from tests.invariants.cases import OBJECTIVES, RUN_CASES, bound, whole


def _loss(name, change):
    objective = bound(whole(name))
    signals = random_signals(objective)
    if "labels" in signals:
        signals["labels"] = change(signals["labels"])
    return objective(**signals).loss


@pytest.mark.parametrize("name", [name for name in OBJECTIVES if name not in RUN_CASES])
def test_only_order_where_it_says_so(name):
    plain = _loss(name, lambda labels: labels)
    if whole(name).labels == "order":
        assert_close(_loss(name, lambda labels: 1 + 9 * labels**2), plain)
    else:
        assert abs(_loss(name, lambda labels: 1 + 9 * labels) - plain) > 1e-6
