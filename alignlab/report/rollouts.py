"""Rollouts along a run that one can read: the best, the worst, a response that was cut, and a list that was dropped."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from alignlab.runs.folder import RunFolder

Line = Mapping[str, Any]


class Shown(NamedTuple):
    """A response of a run, and why it is shown."""

    title: str
    prompt: str
    text: str


def shown_rollouts(folder: RunFolder) -> list[Shown]:
    """Return responses of the first step that drew, of the one in the middle and of the last; none of other runs."""
    files = sorted(path.name for path in (folder.path / "rollouts").glob("step-*.jsonl"))
    places = sorted({0, len(files) // 2, len(files) - 1}) if files else []
    return [one for place in places for one in _of_file(folder, files[place])]


def _of_file(folder: RunFolder, name: str) -> Iterator[Shown]:
    lines = [line for line in folder.read_lines(f"rollouts/{name}") if "texts" in line]
    step = int(name.removeprefix("step-").removesuffix(".jsonl")) + 1
    rated = [
        (reward, line, k)
        for line in lines
        for k, reward in enumerate(line.get("judged") or ())
        if reward is not None
    ]
    if rated:
        best, worst = max(rated, key=lambda one: one[0]), min(rated, key=lambda one: one[0])
        yield _shown(f"step {step}, the best: reward {best[0]:.3g}", best[1], best[2])
        yield _shown(f"step {step}, the worst: reward {worst[0]:.3g}", worst[1], worst[2])
    if cut := next(
        ((line, line["finished"].index(False)) for line in lines if not all(line["finished"])), None
    ):
        yield _shown(f"step {step}, cut before its end", *cut)
    if dropped := next((line for line in lines if line.get("dropped")), None):
        yield _shown(f"step {step}, of a list that was dropped: {dropped['dropped']}", dropped, 0)


def _shown(title: str, line: Line, k: int) -> Shown:
    texts: Sequence[str] = line["texts"]
    return Shown(title, str(line.get("prompt", "")), texts[k])
