"""A function on several ranks: processes of this machine that meet over gloo."""

import os
import pickle
import socket
import traceback
from collections.abc import Callable
from typing import Any

from tests.forked import context

TIMEOUT = 300.0
"""Seconds that a function may take on a machine with much else to do."""


def on_ranks(world: int, work: Callable[..., Any], *args: Any) -> list[Any]:
    """What the function gives on each rank; it must be importable by name. AssertionError with the traceback."""
    port = _free_port()
    receivers, processes = [], []
    for rank in range(world):
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=_rank, args=(rank, world, port, sender, work, args), daemon=True)
        process.start()
        sender.close()
        receivers.append(receiver)
        processes.append(process)
    try:
        told = [
            pickle.loads(receiver.recv_bytes()) if receiver.poll(TIMEOUT) else ("timed out", None)
            for receiver in receivers
        ]
    finally:
        for process in processes:
            process.join(10)
            process.kill()
    for problem, _ in told:
        assert problem is None, problem
    return [value for _, value in told]


def _rank(rank: int, world: int, port: int, sender: Any, work: Callable[..., Any], args: Any) -> None:
    import torch

    from alignlab import ranks

    torch.set_num_threads(1)
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(world),
        "LOCAL_WORLD_SIZE": str(world),
        "GROUP_RANK": "0",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "TORCHELASTIC_RUN_ID": str(port),
    }
    try:
        ranks.join(gpu=False)
        sender.send_bytes(pickle.dumps((None, work(*args))))  # tensors by value: this process ends first
        ranks.barrier()
    except BaseException:
        sender.send_bytes(pickle.dumps((traceback.format_exc(), None)))
        os._exit(1)  # without waiting for the others
    ranks.leave()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
