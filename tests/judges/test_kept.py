"""Verdicts that are kept: nothing is asked twice, a torn line is not believed, and what passes is asked again."""

from contextlib import suppress

from alignlab.judges.judge import Judged
from alignlab.judges.kept import Kept
from tests.judges.asked import asked


class Counting:
    """A judge that says how long responses are, and fails after so many lists."""

    def __init__(self, identity="length", fails_at=None, unsaid=None):
        self.identity, self.fails_at, self.unsaid = identity, fails_at, unsaid
        self.seen = []

    def __call__(self, lists):
        if self.fails_at is not None and len(self.seen) >= self.fails_at:
            raise KeyboardInterrupt
        self.seen += [one.id for one in lists]
        if self.unsaid:
            return [Judged(unsaid=self.unsaid) for _ in lists]
        return [Judged(rewards=tuple(float(len(text)) for text in one.responses)) for one in lists]


LISTS = [asked(str(number), ["a" * (number + 1), "b"]) for number in range(6)]


def test_a_killed_annotation_goes_on_without_a_repeated_call(tmp_path):
    first, again = Counting(fails_at=4), Counting()
    with suppress(KeyboardInterrupt):
        Kept(first, tmp_path, at_once=2)(LISTS)
    kept = Kept(again, tmp_path, at_once=2)
    judged = kept(LISTS)
    assert (first.seen, again.seen, kept.asked_anew) == (["0", "1", "2", "3"], ["4", "5"], 2)
    assert [one.rewards for one in judged] == [(number + 1.0, 1.0) for number in range(6)]


def test_a_torn_line_is_asked_again_and_spoils_no_other(tmp_path):
    kept = Kept(Counting(), tmp_path)
    kept(LISTS[:2])
    kept.file.write_bytes(kept.file.read_bytes()[:-9])
    again = Counting()
    Kept(again, tmp_path)(LISTS[:3])
    last = Counting()
    Kept(last, tmp_path)(LISTS[:3])
    assert (again.seen, last.seen) == (["1", "2"], [])


def test_another_identity_or_another_text_is_asked_and_a_failure_that_passes_is_not_kept(tmp_path):
    Kept(Counting(), tmp_path)(LISTS)
    other, changed = Counting("length 2"), Counting()
    Kept(other, tmp_path)(LISTS[:1])
    Kept(changed, tmp_path)([asked("0", ["a", "b"], prompt="Another.")])
    assert (other.seen, changed.seen) == (["0"], ["0"])
    down, up = Counting("server", unsaid="cannot be reached: 503"), Counting("server", unsaid="unparsed")
    Kept(down, tmp_path)(LISTS[:1])
    Kept(up, tmp_path)(LISTS[:1])
    Kept(down, tmp_path)(LISTS[:1])
    assert (down.seen, up.seen) == (["0"], ["0"])
