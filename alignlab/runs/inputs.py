"""What a run has read, by fingerprints: a run that goes on must read the same, or be allowed to read something else."""

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from threading import Thread
from typing import Any

from alignlab.errors import RunError
from alignlab.runs.config_keys import within
from alignlab.runs.folder import RunFolder

log = logging.getLogger(__name__)

FILE = "inputs.json"
ROWS = "data.rows"
"""The key under which `resume.allow` lets the content of the data differ; it is no setting."""
MODEL_FILES, REFERENCE_FILES = "model.files", "reference.files"
"""The keys under which `resume.allow` lets the files of a model differ; they are no settings."""


class InputsChanged(RunError):
    """Raised where a run would go on with other data or models than it was begun with."""


class Inputs:
    """The fingerprints of all that a run has read, kept in its folder, and compared once the run has begun its work."""

    def __init__(self, folder: RunFolder, allow: Sequence[str] = ()) -> None:
        self.folder, self.allow = folder, allow
        self._awaited: list[tuple[str, str, Future[Mapping[str, Any]], Sequence[str]]] = []
        kept = folder.read_json(FILE) if folder.begun else {}
        self.before: dict[str, dict[str, str]] = {key: v for key, v in kept.items() if isinstance(v, dict)}
        if folder.begun and not self.before:
            log.warning(
                "%s holds no fingerprints of what it was begun with: that data and models are the same is not checked",
                folder.path,
            )

    def knows(self, key: str) -> bool:
        """Whether fingerprints under this key were kept before."""
        return key in self.before

    def note_later(
        self, key: str, what: str, parts: Callable[[], Mapping[str, Any]], allowed_by: Sequence[str]
    ) -> None:
        """Note what `parts` gives, which takes long, when `settle` is called; it works in a thread until then."""
        self._awaited.append((key, what, _beside(parts), allowed_by))

    def settle(self) -> None:
        """Wait for what is noted later, and note it; to be called before anything is trained."""
        while self._awaited:
            key, what, parts, allowed_by = self._awaited.pop()
            self.note(key, what, parts.result(), allowed_by)

    def note(self, key: str, what: str, parts: Mapping[str, Any], allowed_by: Sequence[str]) -> None:
        """Keep the fingerprints of the `parts` of something that is read, or compare them with those that were kept.

        `what` names it in words, and `allowed_by` the keys one of which in `resume.allow` lets it differ. Raises
        InputsChanged that says which parts differ.
        """
        before = self.before.get(key, {})
        changed = [name for name in {**before, **parts} if before and before.get(name) != parts.get(name)]
        if changed:
            text = f"{what} changed since {self.folder.path} was begun: {', '.join(changed)} differ"
            if not any(within(name, self.allow) or _holds(name, self.allow) for name in allowed_by):
                raise InputsChanged(
                    f"{text}. Put back what was there, start a new run, or go on with what is there now: "
                    f"'resume.allow=[{allowed_by[0]}]'"
                )
            log.warning("%s; going on with what is there now", text)
        if changed or not before:
            self.before[key] = dict(parts)
            self.folder.write_json(FILE, self.before)


def _beside(work: Callable[[], Mapping[str, Any]]) -> Future[Mapping[str, Any]]:
    """Run a function in a thread that no end of the program waits for."""
    future: Future[Mapping[str, Any]] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except Exception as error:
            future.set_exception(error)

    Thread(target=run, daemon=True).start()
    return future


def _holds(name: str, keys: Sequence[str]) -> bool:
    """Whether one of the keys is this one or below it."""
    return any(within(key, (name,)) for key in keys)
