"""Scored datasets made of random numbers."""

import torch

from alignlab.analysis.scored import Scored
from alignlab.objective.implicit_reward import ImplicitReward


def random_rows(lists=60, size=4, seed=0, sources=("a", "b"), reference=True, products=False):
    """Ragged lists in which the policy has learned something of the labels."""
    random = torch.Generator().manual_seed(seed)
    shape = (lists, size)
    counts = torch.randint(2, size + 1, (lists, 1), generator=random)
    where = torch.arange(size) < counts
    labels = torch.rand(shape, generator=random, dtype=torch.float64)
    noise = torch.randn((3, *shape), generator=random, dtype=torch.float64)
    ref_logps = -20 + 4 * noise[0]
    states = torch.randn((*shape, 3), generator=random, dtype=torch.float64)
    return Scored(
        ids=[f"row{i}" for i in range(lists)],
        sources=[sources[i % len(sources)] for i in range(lists)],
        logps=ref_logps + 3 * (labels - 0.5) + noise[1],
        ref_logps=ref_logps if reference else None,
        lengths=torch.randint(5, 40, shape, generator=random).double(),
        labels=labels,
        where=where,
        reward=ImplicitReward(0.5),
        products=[(s @ s.T)[:n, :n] for s, n in zip(states, counts.flatten().tolist(), strict=True)]
        if products
        else (),
    )
