"""Verdicts kept on disk, by the judge's identity and by what it was asked, so that nothing is asked twice."""

import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from alignlab.judges.judge import Asked, Joint, Judge, Judged

PASSING = "cannot be reached"
"""What the reason of a verdict begins with that is to be asked again the next time, and so is not kept."""

OWN_PROMPTS = "its responses have prompts of their own, which this judge does not compare"


class Kept:
    """A judge whose verdicts are kept below a folder, a line each, written as soon as they are there.

    A process that is killed loses the verdicts of the `at_once` lists that it was asking about, and no others. A line
    that is torn, or is none of these, is not believed. Reasons that will pass (`PASSING`) are not kept. A judge is not
    asked about responses to different prompts unless it compares them (`Joint`).
    """

    def __init__(self, judge: Judge, cache_dir: Path, *, at_once: int = 32) -> None:
        self.judge, self.at_once, self.asked_anew = judge, at_once, 0
        self.joint = isinstance(judge, Joint) and judge.joint
        self.identity = judge.identity
        name = hashlib.sha256(self.identity.encode()).hexdigest()[:32]
        self.file = cache_dir / "verdicts" / f"{name}.jsonl"
        self._known = dict(_read(self.file))

    def affordable(self, asked: Sequence[Asked], budget: int | None) -> list[bool]:
        """Return which of these lists can be judged without asking anew about more than `budget` of them."""
        left, affordable = float("inf") if budget is None else budget, []
        for one in asked:
            cost = self._can_say(one) and key_of(one) not in self._known
            affordable.append(cost <= left)
            left -= cost and cost <= left
        return affordable

    def __call__(
        self, asked: Sequence[Asked], *, advance: Callable[[int], None] = lambda count: None
    ) -> list[Judged]:
        """Return the verdicts on lists, in order, asking for those alone that are not kept."""
        keys = [key_of(one) for one in asked]
        said = {key: self._known[key] for key in keys if key in self._known}
        said |= {
            key: Judged(unsaid=OWN_PROMPTS)
            for key, one in zip(keys, asked, strict=True)
            if not self._can_say(one)
        }
        left = {key: one for key, one in zip(keys, asked, strict=True) if key not in said}
        advance(len(keys) - len(left))
        pending = [*left.items()]
        for start in range(0, len(pending), self.at_once):
            some = pending[start : start + self.at_once]
            verdicts = self.judge([one for _, one in some])
            said |= {key: judged for (key, _), judged in zip(some, verdicts, strict=True)}
            self._keep({key: said[key] for key, _ in some})
            self.asked_anew += len(some)
            advance(len(some))
        return [said[key] for key in keys]

    def _can_say(self, one: Asked) -> bool:
        return self.joint or not one.prompts

    def _keep(self, said: dict[str, Judged]) -> None:
        lasting = {key: one for key, one in said.items() if not (one.unsaid or "").startswith(PASSING)}
        self._known |= lasting
        lines = [json.dumps({"key": key, **_plain(one)}, ensure_ascii=False) for key, one in lasting.items()]
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("a+b") as stream:
            with suppress(OSError):  # a file system without locks
                fcntl.flock(stream, fcntl.LOCK_EX)
            stream.seek(0, os.SEEK_END)
            whole = stream.tell() == 0 or _last_byte(stream) == b"\n"
            text = "" if whole else "\n"
            stream.write((text + "".join(f"{line}\n" for line in lines)).encode())
            stream.flush()
            os.fsync(stream.fileno())


def key_of(asked: Asked) -> str:
    """Return the hash of all that a judge is given."""
    parts = [asked.id, [*asked.prompt], [*asked.responses], [*asked.finished], {**asked.meta}]
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _plain(judged: Judged) -> dict[str, Any]:
    return {name: value for name, value in asdict(judged).items() if value not in (None, (), {})}


def _read(file: Path) -> Iterator[tuple[str, Judged]]:
    if not file.is_file():
        return
    with file.open("rb") as stream:
        for line in stream:
            with suppress(ValueError, TypeError, KeyError, AttributeError):
                entry = json.loads(line)
                yield entry.pop("key"), _judged(entry)


def _judged(entry: dict[str, Any]) -> Judged:
    """A verdict from plain values; raises where they are none."""
    rewards, preferences = entry.get("rewards"), entry.get("preferences")
    return Judged(
        rewards=None if rewards is None else tuple(rewards),
        preferences=None if preferences is None else tuple(tuple(row) for row in preferences),
        aspects={name: tuple(values) for name, values in entry.get("aspects", {}).items()},
        reasons=tuple(entry.get("reasons", ())),
        unsaid=entry.get("unsaid"),
    )


def _last_byte(stream: Any) -> bytes:
    stream.seek(-1, os.SEEK_END)
    last: bytes = stream.read(1)
    return last
