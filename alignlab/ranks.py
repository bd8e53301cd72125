"""The ranks of processes that train together; with one process every function is the identity."""

import os
import subprocess
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from alignlab.errors import RunError

if TYPE_CHECKING:
    from torch import Tensor

WAIT = timedelta(hours=2)
"""The longest time that ranks wait for one of them, as for a reference pass of another job."""
PORTS = (20_000, 20_000)
"""The first port, and the number of ports, over which the jobs of a cluster are spread."""


def rank() -> int:
    """The rank of this process, from 0."""
    return _distributed().get_rank() if _joined() else 0


def world() -> int:
    """The number of processes that train together."""
    return _distributed().get_world_size() if _joined() else 1


def main() -> bool:
    """Whether this is rank 0, which writes the run folder."""
    return rank() == 0


def barrier() -> None:
    """Wait until all ranks are here."""
    if world() > 1:
        broadcast(None)


def broadcast(value: Any) -> Any:
    """The value of rank 0, on every rank."""
    values = [value]
    if world() > 1:
        import torch

        _distributed().broadcast_object_list(values, device=torch.device("cpu"))
    return values[0]


def gathered(value: Any) -> list[Any]:
    """The values of all ranks, in their order."""
    values: list[Any] = [value] * world()
    if world() > 1:
        _distributed().all_gather_object(values, value)
    return values


def rows(own: "Tensor") -> "Tensor":
    """The rows of all ranks, in their order; ranks may have different numbers of rows."""
    counts = gathered(len(own))
    if len(counts) == 1:
        return own
    import torch

    padded = torch.cat([own, own.new_zeros(max(counts) - len(own), *own.shape[1:])])
    received = [torch.empty_like(padded) for _ in counts]
    _distributed().all_gather(received, padded)
    return torch.cat([part[:count] for part, count in zip(received, counts, strict=True)])


@contextmanager
def main_first() -> Iterator[None]:
    """Let rank 0 run the block before the others, which find its files on the disk; all ranks must take part."""
    if not main():
        barrier()
    yield
    if main():
        barrier()


def total(values: "Tensor") -> "Tensor":
    """The sum of the values over all ranks."""
    if world() == 1:
        return values
    summed = values.clone()
    _distributed().all_reduce(summed)
    return summed


def started_outside(environ: MutableMapping[str, str] = os.environ) -> int:
    """The number of processes that torchrun or srun started together; 1 where none did.

    It sets the variables of torchrun in `environ` where srun started the processes.
    """
    steps = int(environ.get("SLURM_STEP_NUM_TASKS", environ.get("SLURM_NTASKS", "1")))
    if "WORLD_SIZE" not in environ and steps > 1 and "SLURM_PROCID" in environ:
        environ.update(from_slurm(environ))
    return int(environ.get("WORLD_SIZE", "1"))


def from_slurm(environ: MutableMapping[str, str]) -> dict[str, str]:
    """The variables of torchrun for a task of srun; all ranks meet at the first node of the job step."""
    tasks = environ.get("SLURM_STEP_NUM_TASKS") or environ["SLURM_NTASKS"]
    nodes = environ.get("SLURM_STEP_NUM_NODES") or environ.get("SLURM_NNODES", "1")
    job = environ.get("SLURM_JOB_ID", "0")
    variables = {
        "RANK": environ["SLURM_PROCID"],
        "LOCAL_RANK": environ["SLURM_LOCALID"],
        "GROUP_RANK": environ.get("SLURM_NODEID", "0"),
        "WORLD_SIZE": tasks,
        "LOCAL_WORLD_SIZE": str(int(tasks) // int(nodes)),
        "TORCHELASTIC_RUN_ID": job,
        "MASTER_PORT": environ.get("MASTER_PORT", str(PORTS[0] + int(job) % PORTS[1])),
    }
    if "MASTER_ADDR" not in environ:
        first = "127.0.0.1" if nodes == "1" else _first_host(environ["SLURM_STEP_NODELIST"])
        variables["MASTER_ADDR"] = first
    return variables


def join(*, gpu: bool) -> None:
    """Join the other ranks where the variables of torchrun say; RunError where they cannot be reached."""
    if gpu:
        import torch

        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    try:
        _distributed().init_process_group(backend(gpu=gpu), timeout=WAIT)
    except (RuntimeError, ValueError) as error:
        where = f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}"
        raise RunError(f"the {os.environ['WORLD_SIZE']} ranks did not meet at {where}: {error}") from error


def backend(*, gpu: bool) -> str:
    """The backends by which ranks communicate."""
    return "cpu:gloo,cuda:nccl" if gpu else "gloo"


def leave() -> None:
    """Leave the other ranks; without any, do nothing."""
    if _joined():
        _distributed().destroy_process_group()


def _joined() -> bool:
    """Whether this process has met others; one that has not imported torch has met none."""
    if "torch.distributed" not in sys.modules:
        return False
    return bool(_distributed().is_available() and _distributed().is_initialized())


def _distributed() -> Any:
    import torch.distributed

    return torch.distributed


def _first_host(nodes: str) -> str:
    """The first name of a node list such as `n[1-4,7]`; SLURM itself reads it."""
    names = subprocess.run(
        ["scontrol", "show", "hostnames", nodes], capture_output=True, text=True, check=False
    )
    return names.stdout.split()[0] if names.returncode == 0 and names.stdout else "localhost"
