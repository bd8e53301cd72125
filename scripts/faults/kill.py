"""Start small runs and kill them with SIGKILL at moments that are told by their folders."""

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

ROOT = Path(__file__).resolve().parents[2]
MOMENTS = ("start", "step", "checkpoint", "end")
PATIENCE = 300
"""Seconds in which something must happen."""


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
    process.join(PATIENCE)
    if process.exitcode != 0:
        raise SystemExit(f"the run failed: see {log_of(run)}")


def kill(process: BaseProcess, run: Path, moment: str, chance: random.Random, steps: int) -> bool:
    """Kill the process at such a moment; False where it ended before that."""
    reached, waited = condition(process, run, moment, chance, steps), passed(PATIENCE)
    while not reached():
        if process.exitcode is not None:
            finish(process, run)
            return False
        if waited():
            raise SystemExit(f"nothing happens in {run}")
        time.sleep(0.0005)
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    return process.exitcode == -signal.SIGKILL


def condition(
    process: BaseProcess, run: Path, moment: str, chance: random.Random, steps: int
) -> Callable[[], bool]:
    """What must hold for the moment to have come; `steps` are those of the whole run."""
    if moment == "start":
        return passed(chance.uniform(0.0, 2.0))
    if moment == "step":
        target = chance.randint(min(steps_of(run) + 1, steps), steps)
        return lambda: steps_of(run) >= target
    if moment == "end":
        return lambda: steps_of(run) >= steps and any(run.rglob("model.partial"))
    return HalfWritten(process, run, leave=chance.randrange(3))


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
    """What the processes of a run printed."""
    return run.parent / f"{run.name}.log"
