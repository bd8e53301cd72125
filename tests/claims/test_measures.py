"""Statistics of runs that claims compare."""

from dataclasses import replace

import numpy as np
import pytest

from alignlab.claims.measures import one_sided_winners
from alignlab.judges.combination import CombinationJudge
from alignlab.judges.judge import Judged
from alignlab.online.written import Drawn, Head, Rollouts
from alignlab.runs.folder import RunFolder
from tests.judges.asked import asked
from tests.online.lists import listed


def written(folder, verdicts):
    """A run that drew lists with these verdicts."""
    lists = tuple(listed(judged, (True,) * len(judged.rewards or "none")) for judged in verdicts)
    Rollouts(folder).write(Drawn(Head(0, 0, len(lists), 4, "s", "j", "b"), lists))
    return RunFolder(folder)


def test_a_winner_is_one_sided_where_one_of_its_rewards_is_below_the_median(tmp_path):
    both = Judged(
        rewards=(1.0, 4.0, 2.0, 0.0), aspects={"a": (1.0, 2.0, 3.0, 4.0), "b": (1.0, 9.0, 0.0, 0.0)}
    )
    fair = replace(both, aspects={"a": (0.0, 2.0, 3.0, 1.0), "b": (1.0, 9.0, 0.0, 0.0)})
    gap = replace(
        both,
        rewards=(None, 4.0, 2.0, 0.0),
        aspects={"a": (None, 2.0, 3.0, 4.0), "b": (None, 9.0, 0.0, 0.0)},
    )
    verdicts = [both, fair, gap, Judged(unsaid="asleep")]
    assert one_sided_winners(written(tmp_path, verdicts)) == {"winners/one_sided": pytest.approx(2 / 3)}
    assert one_sided_winners(written(tmp_path, [Judged(rewards=(1.0, 2.0, 3.0, 4.0))])) == {}


def drawn(count=300):
    """Lists of 16 responses with two independent rewards, of which a few of the first are far out."""
    noise = np.random.default_rng(0)
    return [(noise.standard_t(3, 16).tolist(), noise.normal(size=16).tolist()) for _ in range(count)]


class Fixed:
    """A judge whose rewards the row brings."""

    def __init__(self, *, name):
        self.identity = self.name = name

    def __call__(self, lists):
        return [Judged(rewards=tuple(one.meta[self.name])) for one in lists]


def test_log_sigmoids_have_fewer_one_sided_winners_than_a_sum_of_random_rewards(tmp_path):
    lists = [asked(responses="abcdefghijklmnop", meta={"a": a, "b": b}) for a, b in drawn()]
    nodes = {name: {"_target_": f"{__name__}.Fixed", "name": name} for name in "ab"}
    shares = [
        one_sided_winners(
            written(tmp_path / transform, CombinationJudge(judges=nodes, transform=transform)(lists))
        )["winners/one_sided"]
        for transform in ("log_sigmoid", "none")
    ]
    assert shares[0] < shares[1] / 2
