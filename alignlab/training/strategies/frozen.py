"""The sharding of a frozen model over the ranks, whatever strategy trains beside it."""

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from alignlab.policies.causal_lm.decoder import layers_of, unwrapped
from alignlab.policies.policy import Policy


def shard_frozen(policy: Policy, device: torch.device) -> Policy:
    """Shard the decoder layers of a frozen policy; embeddings, final norm and head stay whole on each rank.

    A layer is put together while it runs. All ranks must score at the same time, equally often.
    """
    policy.requires_grad_(False)
    mesh = init_device_mesh(device.type, (dist.get_world_size(),))
    for layer in layers_of(unwrapped(policy.model)):
        fully_shard(layer, mesh=mesh, reshard_after_forward=True)
    return policy.to(device)
