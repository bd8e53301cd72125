"""Forecasts the memory of a run on each GPU from its config alone: no weights, no data, no GPU."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn

from alignlab.assembly.build import is_adapters_off
from alignlab.assembly.check import mistakes
from alignlab.config.stage_configs import combined
from alignlab.config.stage_of import train_config
from alignlab.console import quiet
from alignlab.errors import ConfigError, one_of
from alignlab.objective.load import build_objective
from alignlab.objective.objective import Objective
from alignlab.passes.reference_mode import resolve_mode
from alignlab.planner import memory
from alignlab.planner.growth import Growth, Lists
from alignlab.planner.memory import SPREADS, Elements, Footprint, Spread, Widths, Working
from alignlab.planner.shapes import config_at, shape
from alignlab.planner.subject import elements, growth_of, place_of, stored, subject_of
from alignlab.planner.traced import Pass
from alignlab.policies.causal_lm.distributions import quantities
from alignlab.settings import Config
from alignlab.targets import locate

MOST_LISTS = 10**5
"""The largest number of lists of a micro-batch that is considered."""


@dataclass(frozen=True)
class Forecast:
    """The forecast memory of a run on each GPU, in bytes, for micro-batches of equal lists."""

    model: str
    elements: Elements
    strategy: str
    ranks: int
    precision: str
    objective: str
    reference: str
    checkpointing: bool
    shape: Lists
    budget: int
    """The token budget of a micro-batch: data.microbatch_tokens."""
    growth: Growth
    pass_growth: Growth | None
    """The growth of memory in the pass of a precomputed reference; None without one."""
    widths: Widths
    spread: Spread
    reference_bytes: float
    per_node: int
    """The number of GPUs of a machine."""

    @property
    def list_tokens(self) -> int:
        """The tokens of a list, as the budget counts them."""
        return self.shape.tokens(packed=self.growth.packed)

    @property
    def lists(self) -> int:
        """The number of lists of a micro-batch: as many as fit the budget, one at least."""
        return max(1, self.budget // self.list_tokens)

    def training(self, lists: int | None = None) -> Footprint:
        """The memory of a GPU in the middle of an optimizer step, by micro-batches of `lists` lists."""
        working = _working(self.growth, lists or self.lists)
        return memory.training(
            self.elements, self.widths, self.spread, self.ranks, working, reference=self.reference_bytes
        )

    def scoring(self) -> Footprint | None:
        """The memory of a GPU in the pass of a precomputed reference, before the training; None without one."""
        if self.pass_growth is None:
            return None
        weights = memory.frozen(self.elements, self.widths.stored, self.ranks, spread=self.spread.weights)
        return memory.scoring(weights, self.ranks, _working(self.pass_growth, self.lists))

    @property
    def host(self) -> float:
        """The bytes of a machine's own memory that all its ranks use."""
        return self.per_node * memory.host(self.elements, self.widths, self.spread, self.ranks)

    def largest(self, room: float) -> int:
        """The largest data.microbatch_tokens whose lists fit into `room` bytes; 0 where one list does not."""
        fits, too_many = 0, MOST_LISTS
        while too_many - fits > 1:
            middle = (fits + too_many) // 2
            fits, too_many = (middle, too_many) if self.training(middle).total <= room else (fits, middle)
        return fits * self.list_tokens


@quiet()
def forecast(overrides: Sequence[str], lists: Lists, named: str | None = None) -> Forecast:
    """Forecast the memory of the run that `train.py` with these overrides would start, or of one of the shape `named`.

    Raises one ConfigError for all that is wrong with the overrides, and for a model that is not there.
    """
    config = train_config(overrides)
    if problems := list(mistakes(config)):
        raise ConfigError("\n".join(problems))
    if not locate(config["policy"]["_target_"], "policy._target_").draws:
        raise ConfigError(
            "memory is planned for language models (policy=causal_lm); a model with another head takes less: it has no "
            "logits of a vocabulary"
        )
    trainer, strategy = config["trainer"], strategy_of(config)
    spread = spread_of(config)
    ranks = trainer["devices"] * trainer["num_nodes"]
    precision = "bf16-mixed" if trainer["precision"] == "auto" else trainer["precision"]
    objective = build_objective(config["objective"], config["regularizers"], config["modifiers"])
    mode = _mode(config, objective)
    source = config_at(**place_of(config["model"])) if named is None else shape(named)
    subject = subject_of(config, source, precision, own=spread.own_precision, named=named)
    widths = _widths(config, precision, spread)
    run = Pass(
        names=tuple(quantities(objective.signals, compares=mode in ("live", "adapter"))),
        autocast=precision == "bf16-mixed" and not spread.own_weights,
        checkpointing=trainer["gradient_checkpointing"],
        packing=config["model"]["packing"],
    )
    own = elements(replace(subject, adapters=None))
    return Forecast(
        model=subject.name,
        elements=replace(elements(subject), layer=own.layer, outside=own.outside),
        strategy=strategy,
        ranks=ranks,
        precision=precision,
        objective=objective.name,
        reference=mode,
        checkpointing=run.checkpointing,
        shape=lists,
        budget=config["data"]["microbatch_tokens"],
        growth=growth_of(subject, lists, run),
        pass_growth=growth_of(replace(subject, adapters=None), lists, _scoring(run, objective))
        if mode == "precomputed"
        else None,
        widths=widths,
        spread=spread,
        reference_bytes=_references(config, objective, mode, own, widths.stored, ranks, spread),
        per_node=trainer["devices"],
    )


def knobs(
    overrides: Sequence[str], lists: Lists, named: str | None, now: Forecast
) -> Iterator[tuple[str, Forecast]]:
    """Yield settings that reduce the memory below that of `now`, each with its forecast."""
    fewer = max(1, now.lists // 2) * now.list_tokens
    ways = {
        "trainer.gradient_checkpointing=true": not now.checkpointing,
        f"data.microbatch_tokens={fewer}": now.lists > 1,
        "reference=precomputed": now.reference == "live",
        "trainer.precision=bf16-true": now.precision != "bf16-true",
        "peft=lora": now.elements.trainable == now.elements.all,
        "strategy=fsdp2": now.ranks > 1 and not now.spread.weights,
        "strategy=deepspeed_zero3_offload": now.ranks > 1 and not now.spread.on_host,
    }
    for text, possible in ways.items():
        try:
            changed = forecast(combined(overrides, [text]), lists, named) if possible else None
        except ConfigError:  # an objective that needs its reference live, say
            continue
        if changed is not None and changed.training().total < now.training().total:
            yield text, changed


def strategy_of(config: Config) -> str:
    """The name of the strategy, with `auto` resolved."""
    name: str = config["strategy"]["name"]
    trainer = config["trainer"]
    return name if name != "auto" else "ddp" if trainer["devices"] * trainer["num_nodes"] > 1 else "single"


def spread_of(config: Config) -> Spread:
    """The spread of memory over ranks by the strategy, with the options of its engine."""
    spread = SPREADS[one_of("strategy.name", strategy_of(config), SPREADS)]
    engine = config["strategy"].get("engine") or {}
    return replace(
        spread,
        gradients=spread.gradients and engine.get("reduce", "every") == "every",
        bucket=engine.get("bucket_elements", spread.bucket),
        on_host=spread.on_host or engine.get("cpu_offload", False),
        stays_whole=not engine.get("reshard_after_forward", True),
    )


def _working(growth: Growth, lists: int) -> Working:
    bytes_ = growth.at(lists)
    kept_bytes = max(growth.fixed, bytes_.kept)
    return Working(kept_bytes - growth.fixed, growth.fixed, bytes_.peak - kept_bytes)


def _widths(config: Config, precision: str, spread: Spread) -> Widths:
    weights = stored(config["model"]["loader"], precision)
    low = precision.startswith("bf16")
    trained = torch.float32 if spread.own_weights else weights
    states = optimizer_states(config["optimizer"], trained)
    return Widths(float(weights.itemsize), 2.0 if low else float(weights.itemsize), states)


def optimizer_states(optimizer: Config, dtype: torch.dtype) -> float:
    """The bytes that an optimizer keeps for each weight, measured on a small one."""
    settings = {key: value for key, value in optimizer.items() if key not in ("_target_", "lr")}
    weight = nn.Parameter(torch.zeros(64, 64, dtype=dtype))
    weight.grad = torch.zeros_like(weight)
    instance = locate(optimizer["_target_"], "optimizer")([weight], lr=1e-3, **settings)
    instance.step()
    states = [value for value in instance.state[weight].values() if isinstance(value, torch.Tensor)]
    return sum(value.nbytes for value in states if value.numel() > 1) / weight.numel()


def _mode(config: Config, objective: Objective) -> str:
    node = config["reference"]
    return resolve_mode(node["mode"], objective, adapter=is_adapters_off(config), update=node["update"])


def _scoring(run: Pass, objective: Objective) -> Pass:
    """The pass that scores the rows with a reference."""
    names = ("logps", *(["entropy"] if "ref_entropy" in objective.signals else []))
    return replace(run, names=names, training=False, checkpointing=False)


def _references(
    config: Config, objective: Objective, mode: str, own: Elements, width: float, ranks: int, spread: Spread
) -> float:
    """The bytes of the references that are in memory while the policy trains."""
    if mode != "live":
        return 0.0
    node, total = config["reference"], 0.0
    paths = [node["path"], *(node["others"] if objective.needs_other_references else [])]
    for path in paths:
        size = own
        if path is not None:
            size = elements(subject_of(config, config_at(path), "32-true", own=False, named=path))
        sharded = spread.weights if node["shard"] == "auto" else node["shard"]
        total += memory.frozen(size, width, ranks, spread=sharded)
    return total
