"""Two processes with half of the lists each come to the loss and gradient of one with all."""

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.testing import assert_close

from alignlab.objective.gathered import Gathered
from alignlab.training.module import across_ranks
from tests.invariants.batches import (
    data_only,
    gradients,
    loss_and_gradients,
    policy_leaves,
    random_signals,
    step,
    take,
)
from tests.invariants.cases import CASES, OBJECTIVES, build

SHARES = {0: [slice(0, 1), slice(1, 3)], 1: [slice(3, 4)]}
"""Micro-batches of each rank."""
GATHERING = [case for case in CASES if case in OBJECTIVES or build(case).gathers]


def test_alone_it_is_a_plain_join():
    parts = [Gathered(torch.ones(2), torch.ones(2)), Gathered(torch.zeros(1), torch.ones(1))]
    first, second = across_ranks(parts)
    assert (first.start, second.start) == (0, 2)
    assert first.rows.tolist() == second.rows.tolist() == [1, 1, 0]


@pytest.mark.slow
def test_every_objective_on_two_ranks(tmp_path):
    mp.spawn(rank_of_two, args=(str(tmp_path / "meeting"),), nprocs=2)


def rank_of_two(rank, meeting):
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
    torch.set_num_threads(1)
    for case in GATHERING:
        check(case, rank)
    dist.barrier()  # or one may hang up before the other has read its last message
    dist.destroy_process_group()


def check(case, rank):
    objective = build(case)
    signals = random_signals(objective)
    loss, slopes = loss_and_gradients(build(case), signals)
    micro = [take(signals, part) for part in SHARES[rank]]
    counts = [objective.counts(**data_only(batch)) for batch in micro]
    totals = {key: torch.stack([count[key] for count in counts]).sum() for key in counts[0]}
    for total in totals.values():
        dist.all_reduce(total)
    share, found = torch.zeros((), dtype=torch.float64), []
    for batch, gathered in zip(micro, step(objective, micro, across_ranks), strict=True):
        leaves = policy_leaves(batch)
        value = objective(**leaves, gathered=gathered).loss_over(totals)
        share += value.detach()
        found.append(gradients(value, leaves))
    dist.all_reduce(share)
    assert_close(share, loss, msg=lambda text: f"{case}: {text}")
    mine = slice(SHARES[rank][0].start, SHARES[rank][-1].stop)
    for key, whole in slopes.items():
        pieces = torch.cat([part[key] for part in found])
        assert_close(pieces, whole[mine], msg=lambda text, key=key: f"{case} by {key}: {text}")
