"""The files of rollouts: each is on the disk, whole and hashed, before anything is trained on it."""

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from alignlab.errors import RunError
from alignlab.online.listed import Listed, of_line
from alignlab.runs.folder import write_text

log = logging.getLogger(__name__)

FOLDER = "rollouts"


@dataclass(frozen=True)
class Head:
    """What a file of rollouts says of itself in its first line."""

    step: int
    """The optimizer step before which they were drawn, from 0."""
    first: int
    """The place of its first prompt in the order of all prompts, epoch after epoch."""
    lists: int
    """The number of lists that were wanted."""
    samples: int
    sampler: str
    judge: str
    built: str
    """How labels were made and what stays of a list."""


@dataclass(frozen=True)
class Drawn:
    """All that was drawn before an optimizer step."""

    head: Head
    lists: tuple[Listed, ...]
    """In the order of the prompts, dropped ones included."""

    @property
    def after(self) -> int:
        """The place of the next prompt, which nothing was drawn for yet."""
        return self.head.first + sum(not one.part for one in self.lists)

    @property
    def trained(self) -> list[Listed]:
        """The lists that are trained on."""
        return [one for one in self.lists if not one.dropped]


class Rollouts:
    """The folder `rollouts/` of a stage: `step-000000.jsonl`, a line a prompt between a head and a hash.

    Beside them stand `ahead-000001.jsonl`, of the same form, with responses that nobody has judged yet.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / FOLDER

    def file(self, step: int) -> Path:
        """Return the file of what was drawn before a step."""
        return self.folder / f"step-{step:06d}.jsonl"

    def text(self, drawn: Drawn) -> str:
        """Return the text of a file; its last line is the SHA-256 of those before it."""
        rows = [asdict(drawn.head), *(one.as_line() for one in drawn.lists)]
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        return text + json.dumps({"sha256": _hash(text)}) + "\n"

    def write(self, drawn: Drawn) -> None:
        """Bring what was drawn onto the disk, whole, under its name."""
        write_text(self.file(drawn.head.step), self.text(drawn))
        self.begun_file(drawn.head.step).unlink(missing_ok=True)

    def begun_file(self, step: int) -> Path:
        """Return the file of what was drawn ahead of a step, and not yet judged."""
        return self.folder / f"ahead-{step:06d}.jsonl"

    def write_begun(self, drawn: Drawn) -> None:
        """Bring responses without verdicts onto the disk; they are there until `write` has them with their verdicts."""
        write_text(self.begun_file(drawn.head.step), self.text(drawn))

    def begun(self, head: Head) -> Drawn | None:
        """Return responses without verdicts, drawn in this way for these prompts; None where there are none."""
        file = self.begun_file(head.step)
        drawn = _read(file) if file.is_file() else None
        return drawn if drawn is not None and drawn.head == head else None

    def reusable(self, head: Head) -> Drawn | None:
        """Return what was drawn before, in the same way and for the same prompts; None, with a warning, otherwise."""
        file = self.file(head.step)
        if not file.is_file():
            return None
        drawn = _read(file)
        if drawn is None:
            log.warning("%s is torn (its hash differs): its responses are drawn again", file)
        elif drawn.head != head:
            log.warning("%s was drawn with other settings than now: its responses are drawn again", file)
            return None
        return drawn

    def past(self, step: int) -> Drawn:
        """Return what was drawn before a step that is trained already; RunError where the file is gone or torn."""
        file = self.file(step)
        if (drawn := _read(file) if file.is_file() else None) is None:
            raise RunError(
                f"{file} is {'torn' if file.is_file() else 'gone'}, and the weights that drew it have moved on: put it "
                "back, or remove checkpoints/ beside it, so that the training begins anew"
            )
        return drawn


def _read(file: Path) -> Drawn | None:
    """Return what a file holds; None where it is not whole."""
    text = file.read_text(encoding="utf-8", errors="replace")
    body, _, last = text.rstrip("\n").rpartition("\n")
    try:
        rows: Sequence[Mapping[str, Any]] = [json.loads(row) for row in f"{body}\n{last}".split("\n")]
        if rows[-1] != {"sha256": _hash(body + "\n")}:
            return None
        return Drawn(Head(**rows[0]), tuple(map(of_line, rows[1:-1])))
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
