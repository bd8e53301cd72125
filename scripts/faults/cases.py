"""The small runs that are killed: what each is, and what is wrong with the disks that it has."""

import os
from dataclasses import dataclass

from faults.disks import has_mounts

SMALL = (
    "evaluation=none",
    "model.loader.steps=20",
    "model.loader.hidden_size=16",
    "model.loader.layers=1",
    "model.loader.heads=2",
    "data.limit=48",
    "data.limit_validation=8",
    "data.lists_per_step=8",
    "trainer.max_steps=12",
    "trainer.validate_every_n_steps=5",
    "callbacks.checkpoint.every_n_steps=2",
    "report=false",
)
RANKS = ("trainer.devices=2", "trainer.accelerator=cpu", "data.microbatch_tokens=300")


@dataclass(frozen=True)
class Case:
    """A run as one types it."""

    line: tuple[str, ...]
    disk: int | None = None
    """The size in MB of the disk of its own that its run folder is on, which is filled up while it trains."""
    read_only_cache: bool = False
    """Whether its cache is made read-only once the run that is left alone has filled it."""

    @property
    def possible(self) -> bool:
        """Whether its disks can be made: by mounts, or by permissions, which do not hold for root."""
        return has_mounts() or not (self.disk or (self.read_only_cache and os.geteuid() == 0))


CASES = {
    "plain": Case(("objective=dpo",)),
    "token-budget": Case(("objective=lipo_lambda", "regularizers=[kl,sft]", "data.microbatch_tokens=300")),
    "background": Case(("callbacks.checkpoint.background=true", "callbacks.checkpoint.best=val/loss")),
    "running-mean": Case(("objective=bco", "objective.loss.delta=running", "data.microbatch_tokens=400")),
    "mask-network": Case(("objective=sparse_po",)),
    "moving-reference": Case(("reference.update=ema", "reference.every_n_steps=2")),
    "stepwise": Case(("recipe=stepwise", "recipe.steps=2", "trainer.max_steps=5")),
    "sft-then-dpo": Case(("recipe=sft_then", "trainer.max_steps=5")),
    "lora": Case(("peft=lora", "peft.dropout=0.1")),
    "ddp": Case(("strategy=ddp", *RANKS)),
    "fsdp2": Case(("strategy=fsdp2", *RANKS)),
    "online": Case(("recipe=online", "online.max_new_tokens=16")),
    "online-buffer": Case(
        (
            "recipe=online",
            "online.max_new_tokens=16",
            "online.every=2",
            "online.updates=2",
            "online.buffer.size=12",
            "online.buffer.choose=age",
        )
    ),
    "online-ahead": Case(("recipe=online", "online.max_new_tokens=16", "online.ahead=2", "objective=grpo")),
    "full-disk": Case(("objective=dpo",), disk=16),
    "read-only-cache": Case(("objective=dpo",), read_only_cache=True),
}
