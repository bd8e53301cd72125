"""The start of a run's ranks on this machine: the same command once more for each, with torchrun's variables."""

import os
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from alignlab import ranks
from alignlab.errors import AlignlabError, RunError

STARTED_BY = "ALIGNLAB_STARTED_BY"
"""The environment variable that tells a rank the id of the process that started it."""
GRACE = 30.0
"""The seconds that a rank is given to end by itself before it is killed."""


@contextmanager
def started(command: Sequence[str], count: int, folder: Path, *, gpu: bool) -> Iterator[None]:
    """Start ranks 1 to `count` - 1 beside this process, rank 0, for as long as the context lasts.

    Each rank logs to `ranks/` in `folder`. When one rank fails, all of them are ended; raises RunError with its log.
    """
    common = {
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "GROUP_RANK": "0",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(_free_port()),
        "TORCHELASTIC_RUN_ID": uuid.uuid4().hex,
    }
    (folder / "ranks").mkdir(parents=True, exist_ok=True)
    with ExitStack() as open_files:
        children = []
        for rank in range(1, count):
            log = open_files.enter_context((folder / "ranks" / f"{rank}.log").open("a", encoding="utf-8"))
            own = {
                **os.environ,
                **common,
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                STARTED_BY: str(os.getpid()),
            }
            children.append(subprocess.Popen(command, env=own, stdout=log, stderr=log))
        os.environ.update({**common, "RANK": "0", "LOCAL_RANK": "0"})
        ending = threading.Event()
        threading.Thread(target=_watch, args=(children, folder, ending), daemon=True).start()
        try:
            ranks.join(gpu=gpu)
            yield
        except Exception as error:
            _tell(children, folder, error)
            raise
        except BaseException:
            _terminate(children)
            raise
        finally:
            ending.set()
            ranks.leave()
            _end(children)
            for name in (*common, "RANK", "LOCAL_RANK"):
                os.environ.pop(name, None)


def end_with_parent() -> None:
    """End this process soon after the rank that started it, if another rank did."""
    parent = os.environ.get(STARTED_BY)
    if parent is not None:
        threading.Thread(target=_outlived, args=(int(parent),), daemon=True).start()


def _outlived(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def last_lines(folder: Path, rank: int, count: int = 5) -> str:
    """Return the last `count` lines of the log of a rank."""
    file = folder / "ranks" / f"{rank}.log"
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines() if file.is_file() else []
    return "\n".join(lines[-count:])


def _watch(children: Sequence[subprocess.Popen[bytes]], folder: Path, ending: threading.Event) -> None:
    """End the run when a rank fails, because the other ranks would wait for it for ever."""
    while not ending.wait(0.5):
        for rank, child in enumerate(children, start=1):
            if child.poll():
                if ending.wait(GRACE):  # the others noticed
                    return
                failure = RunError(f"rank {rank} failed:\n{last_lines(folder, rank)}")
                print(f"error: {failure}", file=sys.stderr, flush=True)
                _end(children)
                os._exit(1)


def _tell(children: Sequence[subprocess.Popen[bytes]], folder: Path, error: Exception) -> None:
    """End all ranks, and raise RunError with the log of the rank that failed first, where that was another one."""
    time.sleep(2.0)  # a connection breaks before the process at its other end is gone
    failed = [rank for rank, child in enumerate(children, start=1) if child.poll()]
    _terminate(children)
    if failed and not isinstance(error, AlignlabError):
        raise RunError(f"rank {failed[0]} failed:\n{last_lines(folder, failed[0])}") from error


def _terminate(children: Sequence[subprocess.Popen[bytes]]) -> None:
    for child in children:
        child.terminate()


def _end(children: Sequence[subprocess.Popen[bytes]]) -> None:
    """Wait for all ranks to end, at most `GRACE` seconds in all, and kill those that do not."""
    until = time.monotonic() + GRACE
    for child in children:
        try:
            child.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
