"""The lock of a run folder: one process at a time, and none after its end, whatever that was."""

import signal
import subprocess
import sys
import textwrap

import pytest

from alignlab.errors import RunError
from alignlab.runs.folder import RunFolder

HOLDER = textwrap.dedent(
    """
    import os, sys, time
    from pathlib import Path
    from alignlab.runs.folder import RunFolder

    with RunFolder(Path(sys.argv[1])).locked():
        if os.fork() == 0:  # a worker that outlives its parent does not keep the lock
            time.sleep(10)
            os._exit(0)
        print("held", flush=True)
        time.sleep(60)
    """
)


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_second_process_is_refused_at_once(holder, tmp_path):
    with pytest.raises(
        RunError, match=rf"another run \(process {holder.pid} on .*\) is writing to .*output_dir="
    ):
        RunFolder(tmp_path).locked().__enter__()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_lock_of_a_killed_process_is_free(number, holder, tmp_path):
    holder.send_signal(number)
    assert holder.wait() == -number
    with RunFolder(tmp_path).locked(), RunFolder(tmp_path / "another").locked():
        pass
