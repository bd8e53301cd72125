"""Lists of earlier steps: the newest stay, and what is taken follows from them and the seed alone."""

import pytest

from alignlab.judges.judge import Judged
from alignlab.online.buffer import Buffer
from alignlab.online.labels import Labelling
from alignlab.online.pairs import whole
from alignlab.online.settings import BufferSpec
from tests.online.lists import listed


def filled(choose, seed=0, gaps=(1.0,) * 6):
    buffer = Buffer(BufferSpec(size=4, share=0.5, choose=choose), seed)
    for step, gap in enumerate(gaps):
        one = Labelling("raw", whole, "whole")(listed(Judged(rewards=(0.0, gap, 0.0, 0.0)), row=f"r{step}"))
        buffer.add(step, [one])
    return buffer


def names(lists):
    return [one.rollout.id for one in lists]


def test_the_newest_stay_and_the_oldest_of_them_come_first():
    buffer = filled("fifo")
    assert names(buffer.take(2, 6)) == ["r2", "r3"]
    assert (buffer.share_of(4), buffer.share_of(100)) == (2, 4)


@pytest.mark.parametrize(("choose", "gaps"), [("age", (1.0,) * 6), ("weighted", (1, 1, 0.1, 0.1, 0.1, 3))])
def test_younger_and_wider_lists_come_more_often_and_none_twice(choose, gaps):
    taken = [names(filled(choose, seed, gaps).take(2, 6)) for seed in range(40)]
    assert all(len({*pair}) == 2 for pair in taken)
    assert sum("r5" in pair for pair in taken) > 1.5 * sum("r2" in pair for pair in taken)
    assert names(filled(choose, 7, gaps).take(2, 6)) == taken[7]


def test_without_a_size_nothing_is_kept():
    buffer = Buffer(BufferSpec(), 0)
    buffer.add(0, [listed(Judged(rewards=(1.0,) * 4))])
    assert buffer.share_of(16) == 0
    assert buffer.take(0, 1) == []


def test_by_count_the_rarely_taken_come_first_and_none_is_twice_in_a_step():
    times = {f"r{row}": 0 for row in range(6)}
    for seed in range(200):
        buffer = filled("count", seed)
        first = names(buffer.take(2, 6))
        for name in names(buffer.take(2, 7)):
            times[name] += 1 if name in first else -1
        assert len({*first}) == 2
    assert sum(times.values()) < -60
    buffer = filled("count")
    assert names(buffer.take(9, 6)) == ["r2", "r3", "r4", "r5"]
    assert [kept.taken for kept in buffer.lists] == [1] * 4
