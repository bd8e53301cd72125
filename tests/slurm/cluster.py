"""A SLURM cluster of one node on this machine: munged, slurmctld and slurmd as children of the tests.

All of it (key, sockets, state, logs) lies in one folder, on ports of its own, and ends with `stop`.
It keeps no accounts, so there is no sacct.
"""

import getpass
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

DAEMONS = ("munged", "slurmctld", "slurmd")
CPUS = 2
"""What the node is said to have, whatever it has: so many tasks run at once."""
WHERE = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


def missing() -> list[str]:
    """Programs that a cluster needs and this machine has not."""
    return [name for name in (*DAEMONS, "sbatch", "srun") if shutil.which(name, path=WHERE) is None]


class Cluster:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {"SLURM_CONF": str(folder / "slurm.conf")}
        self.running: list[subprocess.Popen[bytes]] = []
        for name in ("controller", "node"):
            (folder / name).mkdir()
        key = folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        folder.chmod(0o755)  # munged insists that nobody else can write there
        (folder / "slurm.conf").write_text(self._settings())
        (folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\nConstrainCores=no\n")

    def _settings(self) -> str:
        user, here = getpass.getuser(), self.folder
        control, node = _free_ports(2)
        return "\n".join(
            [
                "ClusterName=test",
                f"SlurmctldHost={socket.gethostname()}(127.0.0.1)",
                f"SlurmUser={user}",
                f"SlurmdUser={user}",
                f"SlurmctldPort={control}",
                f"SlurmctldPidFile={here}/controller.pid",
                f"SlurmdPidFile={here}/node.pid",
                f"StateSaveLocation={here}/controller",
                f"SlurmdSpoolDir={here}/node",
                f"AuthInfo=socket={here}/munge.socket",
                "ProctrackType=proctrack/linuxproc",  # no cgroups, so that a container will do
                "TaskPlugin=task/none",
                "SelectType=select/cons_tres",
                "SelectTypeParameters=CR_CPU",
                "SlurmdParameters=config_overrides",
                "AccountingStorageType=accounting_storage/none",
                "JobAcctGatherType=jobacct_gather/none",
                "ReturnToService=2",
                "KillWait=5",
                "MinJobAge=600",
                "SchedulerParameters=bf_interval=1,batch_sched_delay=0,sched_min_interval=0,sched_interval=1",
                f"NodeName=n1 NodeHostname=n1 NodeAddr=127.0.0.1 Port={node} CPUs={CPUS} RealMemory=4000",
                "PartitionName=main Nodes=n1 Default=YES MaxTime=INFINITE State=UP",
                "",
            ]
        )

    def start(self) -> None:
        here = self.folder
        files = [
            f"--{name}={here}/munge.{name.split('-')[0]}" for name in ("socket", "seed-file", "pid-file")
        ]
        self._child("munged", "--foreground", "--force", f"--key-file={here}/munge.key", *files)
        self._until(lambda: (here / "munge.socket").exists())
        self._child("slurmctld", "-D")
        self._child("slurmd", "-D", "-N", "n1")
        self._until(lambda: self.ask("sinfo", "--noheader", "--format=%t", check=False).strip() == "idle")

    def stop(self) -> None:
        """End the jobs, then the daemons, the last one first."""
        self.ask("scancel", f"--user={getpass.getuser()}", check=False)
        end = time.monotonic() + 20
        while self.ask("squeue", "--noheader", check=False) and time.monotonic() < end:
            time.sleep(0.2)
        for child in reversed(self.running):
            child.terminate()
        for child in reversed(self.running):
            try:
                child.wait(timeout=15)
            except subprocess.TimeoutExpired:
                child.kill()

    def ask(self, *command: str, check: bool = True) -> str:
        """What a command of SLURM prints."""
        done = subprocess.run(
            command, env={**os.environ, **self.environment}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0 or not check, f"{' '.join(command)}: {done.stderr}"
        return done.stdout

    def shown(self, job: str, key: str) -> str:
        """A field of `scontrol show job`."""
        told = self.ask("scontrol", "show", "job", job, "--oneliner")
        return next(text.partition("=")[2] for text in told.split() if text.startswith(f"{key}="))

    def wait_for(self, job: str, *states: str, timeout: float = 300) -> None:
        self._until(lambda: self.shown(job, "JobState") in states, timeout)

    def start_requeued(self, job: str) -> None:
        """SLURM holds a requeued job back for two minutes: not here. Sooner than this it would fail."""
        self.wait_for(job, "PENDING")
        time.sleep(3)
        self.ask("scontrol", "update", f"jobid={job}", "StartTime=now", "TimeLimit=10")

    def _child(self, name: str, *arguments: str) -> None:
        program = shutil.which(name, path=WHERE)
        assert program is not None
        with (self.folder / f"{name}.log").open("wb") as log:
            child = subprocess.Popen(
                [program, *arguments],
                env={**os.environ, **self.environment},
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
        self.running.append(child)

    def _until(self, holds, timeout: float = 30) -> None:
        end = time.monotonic() + timeout
        while not holds():
            logs = "".join(f"\n{log}: {log.read_text()[-2000:]}" for log in self.folder.glob("*.log"))
            assert time.monotonic() < end, f"waited in vain{logs}"
            time.sleep(0.1)


def _free_ports(count: int) -> list[int]:
    held = [socket.socket() for _ in range(count)]
    for each in held:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in held]
    for each in held:
        each.close()
    return ports
