"""Run jobs as `python train.py ...` would, several at once, each in a process forked after the imports were done."""

import json
import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from typing import Any

from alignlab.claims.cache import Cache
from alignlab.claims.measures import measured
from alignlab.claims.runs_of import Job
from alignlab.lab import tiny
from alignlab.launch.cli import launch
from alignlab.runs.folder import RunFolder

Told = Callable[[Job, float, bool], None]
"""Called when a job has ended: its seconds, and whether it has a result."""
EVERY = 0.05
"""Seconds between looks at the processes."""


def run_jobs(
    jobs: Sequence[Job], cache: Cache, main: Callable[[], Any], *, processes: int, until: float, told: Told
) -> None:
    """Run what has no result yet; `main` is the one of train.py. A job that fails leaves its log, and stops no other.

    Nothing new is started once `time.monotonic()` has reached `until`.
    """
    for name in ("alignlab.training.stage", "transformers.models.llama.modeling_llama"):
        import_module(name)
    waiting = list({job.key: job for job in jobs if cache.read(job) is None}.values())
    running: dict[BaseProcess, tuple[Job, float]] = {}
    try:
        while waiting or running:
            if time.monotonic() >= until:
                waiting = []
            while waiting and len(running) < processes:
                job = waiting.pop(0)
                running[_started(job, cache, main)] = job, time.monotonic()
            for process in [one for one in running if one.exitcode is not None]:
                job, began = running.pop(process)
                told(job, time.monotonic() - began, cache.read(job) is not None)
            time.sleep(EVERY)
    finally:
        for process in running:
            process.terminate()
            process.join()


def _started(job: Job, cache: Cache, main: Callable[[], Any]) -> BaseProcess:
    cache.run(job).parent.mkdir(parents=True, exist_ok=True)
    process = get_context("fork").Process(target=_work, args=(job, cache.folder.resolve(), main))
    process.start()
    return process


def _work(job: Job, folder: Any, main: Callable[[], Any]) -> None:
    """Do a job in this child process: make the run, measure it, keep the result, and remove the run folder."""
    cache = Cache(folder)
    run, began = cache.run(job), time.process_time()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    log = os.open(run.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(log, stream)
    os.chdir(folder)
    os.environ["ALIGNLAB_CACHE"] = str(folder / "shared")
    sys.modules["torch"].set_num_threads(1)
    sys.argv = ["train.py", *placed(job, folder / "shared"), "resume=auto", f"hydra.run.dir={run}"]
    try:
        launch(main)
        cache.write(job, measured(RunFolder(run), job.measures), time.process_time() - began)
    except BaseException:  # whatever it was: it is in the log, and the parent sees that there is no result
        traceback.print_exc()
        sys.exit(1)
    shutil.rmtree(run, ignore_errors=True)
    run.with_suffix(".log").unlink(missing_ok=True)


def placed(job: Job, shared: Any) -> Iterator[str]:
    """The overrides of a job, with the folder of a model for its `<name>`; a model that is not there is made."""
    folders = {}
    for text in job.models:
        name, settings = json.loads(text)
        folders[f"<{name}>"] = str(tiny.load(cache_dir=str(shared), **settings)[0].name_or_path)
    for override in job.overrides:
        for name, folder in folders.items():
            override = override.replace(name, folder)
        yield override
