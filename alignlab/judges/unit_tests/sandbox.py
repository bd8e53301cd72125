"""Runs a program that nobody has read: within limits of time, memory, processes and files, killed with its children.

`bubblewrap` also takes away the network, all files but the interpreter's, and the sight of other processes. `process`
has the limits alone.
"""

import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from alignlab.errors import ConfigError

Kind = Literal["bubblewrap", "process"]
NOBODY = 65534
"""The user that programs run as where this process is root, whom limits of processes do not hold for."""
FILES, FILE_SIZE, SPACE = 64, 2**20, 2**24
"""Open files of a program, bytes of a file, and bytes of all its files (bubblewrap)."""
UNPROTECTED = (
    "judge.sandbox=process limits a program's time, memory, processes and files, but it reaches the network, reads "
    "what its user may read, may fill the disk with many files, and what it starts in a session of its own may outlive "
    "it: judge.sandbox=bubblewrap protects from these"
)
LAUNCHER = """
import os, resource, sys
limits, token, source = sys.stdin.buffer.read().split(b"\\0", 2)
for pair in limits.decode().split():
    name, most = pair.split("=")
    resource.setrlimit(getattr(resource, name), (int(most), int(most)))
out, null = os.dup(1), os.open(os.devnull, os.O_RDWR)
for place in (0, 1, 2):
    os.dup2(null, place)
try:
    exec(compile(source, "program", "exec"), {"__name__": "__main__"})
    said = token
except BaseException as error:
    said = type(error).__name__.encode()[:99]
os.write(out, said)
os._exit(0)
"""
"""The program that sets the limits, runs what it reads, and says whether that came to its end."""


@dataclass(frozen=True)
class Sandbox:
    """How programs run. Raises ConfigError when it is first used, where that cannot be done here."""

    kind: Kind
    seconds: float
    memory_mb: int
    processes: int

    def __call__(self, program: str) -> str | None:
        """Run a program; returns None where it came to its end, and else what stopped it."""
        return self._run(self.command, program)

    @cached_property
    def command(self) -> list[str]:
        """The words that start a program here, tried once."""
        if sys.platform != "linux":
            raise ConfigError(
                f"judge=unit_tests runs programs on Linux alone, and this is {platform.system()}"
            )
        if self.kind == "bubblewrap" and shutil.which("bwrap") is None:
            raise ConfigError(
                "judge.sandbox=bubblewrap: there is no bwrap here: install it (apt install bubblewrap). Without it: "
                + UNPROTECTED
            )
        own = os.path.realpath(getattr(sys, "_base_executable", sys.executable))
        tried = []
        for python in dict.fromkeys((own, shutil.which("python3", path="/usr/bin:/usr/local/bin") or own)):
            command = [*self._around(python), python, "-I", "-S", "-c", LAUNCHER]
            trouble = self._run(command, "assert 1 + 1 == 2")
            if trouble is None:
                return command
            tried.append(f"{python}: {trouble}")
        raise ConfigError(f"judge.sandbox={self.kind}: no program runs in it here ({'; '.join(tried)})")

    def _around(self, python: str) -> list[str]:
        if self.kind == "process":
            return []
        prefix = Path(python).parents[1]
        links = [
            word
            for name in ("bin", "lib", "lib64")
            if (place := Path("/", name)).exists()
            for word in (
                ("--symlink", str(place.readlink()), str(place))
                if place.is_symlink()
                else ("--ro-bind", str(place), str(place))
            )
        ]
        own = [] if prefix == Path("/usr") else ["--ro-bind", str(prefix), str(prefix)]
        return [
            *(
                str(shutil.which("bwrap")),
                "--unshare-all",
                "--die-with-parent",
                "--new-session",
                "--clearenv",
            ),
            *("--cap-drop", "ALL", "--ro-bind", "/usr", "/usr", *links, *own),
            *(
                "--proc",
                "/proc",
                "--dev",
                "/dev",
                "--size",
                str(SPACE),
                "--tmpfs",
                "/work",
                "--chdir",
                "/work",
            ),
        ]

    def _run(self, command: Sequence[str], program: str) -> str | None:
        token = os.urandom(16).hex()
        limits = {
            "RLIMIT_AS": self.memory_mb * 2**20,
            "RLIMIT_CPU": int(self.seconds) + 1,
            "RLIMIT_NPROC": self.processes,
            "RLIMIT_NOFILE": FILES,
            "RLIMIT_FSIZE": FILE_SIZE,
            "RLIMIT_CORE": 0,
        }
        text = "\0".join([" ".join(f"{name}={most}" for name, most in limits.items()), token, program])
        as_nobody = {"user": NOBODY, "group": NOBODY, "extra_groups": ()} if os.geteuid() == 0 else {}
        with (
            tempfile.TemporaryDirectory() as folder,
            tempfile.TemporaryFile() as out,
            tempfile.TemporaryFile() as stdin,
        ):
            Path(folder).chmod(0o777)
            stdin.write(text.encode("utf-8", "replace"))
            stdin.seek(0)
            try:
                started = subprocess.Popen(
                    command,
                    stdin=stdin,
                    stdout=out,
                    stderr=subprocess.DEVNULL,
                    cwd=folder,
                    env={"PATH": "/usr/bin:/bin:/usr/local/bin"},
                    start_new_session=True,
                    **as_nobody,  # type: ignore[call-overload]
                )
            except OSError as error:
                return f"it cannot be started ({error.strerror})"
            try:
                started.wait(self.seconds)
            except subprocess.TimeoutExpired:
                return "timed out"
            finally:
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(started.pid, signal.SIGKILL)
                started.wait()
            out.seek(0)
            said = out.read(100).decode("utf-8", "replace")
        return None if said == token else said or "killed"
