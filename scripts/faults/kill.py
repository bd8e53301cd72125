"""Start small runs, and end them by signals or a full disk at moments that are told by their folders."""

import csv
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path

from faults import disks

ROOT = Path(__file__).resolve().parents[2]
MOMENTS = ("start", "step", "within", "checkpoint", "end")
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGUSR1)
STEP = 0.3
"""Seconds in which a step of a small run begins and ends, one that draws and judges too."""
PATIENCE = 300
"""Seconds in which something must happen."""


class Broken(Exception):
    """A promise that a run did not keep."""


def prepare() -> None:
    """Import once what every run imports: that takes longer than the run itself."""
    sys.path.insert(0, str(ROOT))
    for name in (
        "alignlab.verbs.train",
        "alignlab.training.stage",
        "transformers.models.llama.modeling_llama",
    ):
        import_module(name)


def start(run: Path, overrides: Sequence[str]) -> BaseProcess:
    """A run in that folder, which goes on with what it finds there.

    It has a process of its own, forked from this one, which has done nothing but `prepare`.
    """
    run.parent.mkdir(parents=True, exist_ok=True)
    log_of(run).write_text("")
    line = [*overrides, "resume=auto", f"hydra.run.dir={run}"]
    process = get_context("fork").Process(target=_train, args=(run, line))
    process.start()
    return process


def _train(run: Path, line: list[str]) -> None:
    """What `python train.py ...` does, with a log for what it prints."""
    os.chdir(run.parent)
    log = os.open(log_of(run), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(log, stream)
    os.environ.setdefault("ALIGNLAB_CACHE", str(run.parents[1] / "cache"))
    sys.modules["torch"].set_num_threads(1)
    sys.modules["alignlab.verbs.train"].run(line)


def finish(process: BaseProcess, run: Path) -> None:
    """Wait until the run has come to its end."""
    if (code := ended(process, run)) != 0:
        raise Broken(f"{run.name} failed with code {code}: {last_line(run)}")


def ended(process: BaseProcess, run: Path) -> int:
    """The exit code of a run, once it ended by itself; in its log there must be no traceback."""
    process.join(PATIENCE)
    if process.exitcode is None:
        process.kill()
        raise Broken(f"{run.name} hangs: {last_line(run)}")
    if "Traceback" in log_of(run).read_text():
        raise Broken(f"{run.name} ended with a traceback: {last_line(run)}")
    return process.exitcode


def kill(process: BaseProcess, run: Path, number: int, reached: Callable[[], bool], victim: int) -> bool:
    """Send a signal to a process of a run at such a moment; False where the run came to its end all the same.

    SIGKILL ends the run whichever of its processes gets it. After the others it must say that it was stopped.
    """
    if not came(process, run, reached):
        return False
    target = ([process.pid or 0, *children(process.pid or 0)] * 2)[victim]
    os.kill(target, number)
    os.kill(process.pid or 0, signal.SIGCONT)  # where it was frozen for the moment
    code = ended(process, run)
    by_itself = {128 + number, -number} if target == process.pid else {1}
    if code not in {0, *by_itself}:
        raise Broken(f"{run.name} ended with code {code} by signal {number}: {last_line(run)}")
    return code != 0


def starve(process: BaseProcess, run: Path, reached: Callable[[], bool], chance: random.Random) -> bool:
    """Fill the disk of a run at such a moment; False where it came to its end all the same.

    It must end by itself, and say why in one line; then its disk has room again.
    """
    if not came(process, run, reached):
        return False
    disks.fill(run, chance)
    code = ended(process, run)
    disks.free(run)
    if code and (code != 1 or "the disk is full" not in last_line(run)):
        raise Broken(f"{run.name} does not say that its disk is full: {last_line(run)}")
    return code != 0


def came(process: BaseProcess, run: Path, reached: Callable[[], bool]) -> bool:
    """Wait for a moment; False where the run ended before it."""
    waited = passed(PATIENCE)
    while not reached():
        if process.exitcode is not None:
            finish(process, run)
            return False
        if waited():
            process.kill()
            raise Broken(f"nothing happens in {run.name}: {last_line(run)}")
        time.sleep(0.0005)
    return True


def children(process: int) -> list[int]:
    """The ids of the processes that a process started."""
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            lines = status.read_text().splitlines()
        except OSError:  # it is gone
            continue
        if f"PPid:\t{process}" in lines:
            found.append(int(status.parent.name))
    return found


def condition(
    process: BaseProcess, run: Path, moment: str, chance: random.Random, steps: int
) -> Callable[[], bool]:
    """What must hold for the moment to have come; `steps` are those of the whole run."""
    if moment == "start":
        return passed(chance.uniform(0.0, 2.0))
    if moment in ("step", "within"):
        target = chance.randint(min(steps_of(run) + 1, steps), steps)
        wait = chance.uniform(0.0, STEP) if moment == "within" else 0.0
        return later(lambda: steps_of(run) >= target, wait)
    if moment == "end":
        return lambda: steps_of(run) >= steps and any(run.rglob("model.partial"))
    return HalfWritten(process, run, leave=chance.randrange(3))


def later(reached: Callable[[], bool], seconds: float) -> Callable[[], bool]:
    """Whether so many seconds have passed since something was reached."""
    waited: Callable[[], bool] | None = None

    def now() -> bool:
        nonlocal waited
        if waited is None and reached():
            waited = passed(seconds)
        return waited is not None and waited()

    return now


def passed(seconds: float) -> Callable[[], bool]:
    """Whether so many seconds have passed from now on."""
    end = time.monotonic() + seconds
    return lambda: time.monotonic() > end


class HalfWritten:
    """Freezes the process where the file of a checkpoint is half done; leaves the first few alone."""

    def __init__(self, process: BaseProcess, run: Path, leave: int) -> None:
        self.process, self.run, self.leave, self.left = process, run, leave, set[Path]()

    def __call__(self) -> bool:
        found = self._half()
        if found is None or found in self.left:
            return False
        if len(self.left) < self.leave:
            self.left.add(found)
            return False
        os.kill(self.process.pid or 0, signal.SIGSTOP)
        if self._half() is not None:
            return True
        os.kill(self.process.pid or 0, signal.SIGCONT)
        return False

    def _half(self) -> Path | None:
        return next(stage_files(self.run, "checkpoints/*.ckpt.partial"), None)


def stage_files(run: Path, pattern: str) -> Iterator[Path]:
    """Files of the run itself, and of its stages."""
    for folder in (run, *sorted(run.glob("stages/*"))):
        yield from sorted(folder.glob(pattern))


def steps_of(run: Path) -> int:
    """Training steps that are reported, over all stages."""
    files = [*run.glob("stages/*/metrics.csv")] or [*run.glob("metrics.csv")]
    return sum(
        max([0, *(int(row["step"]) for row in rows_of(file) if row.get("train/loss"))]) for file in files
    )


def rows_of(file: Path) -> list[dict[str, str]]:
    """Whole rows of metrics.csv; a kill may have torn the last."""
    whole = file.read_text(encoding="utf-8").rpartition("\n")[0]
    return list(csv.DictReader(whole.splitlines(), restval=""))


def log_of(run: Path) -> Path:
    """What the process of a run printed that was started last."""
    return run.parent / f"{run.name}.log"


def last_line(run: Path) -> str:
    """The last line that a run printed."""
    return ["", *log_of(run).read_text().splitlines()][-1]
