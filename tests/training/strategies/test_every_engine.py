"""Two ranks come to what one process comes to, on the same global batches: losses, gradients, validation."""

from functools import partial
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from alignlab import ranks
from alignlab.assembly.build import call
from alignlab.objective.load import read_choice
from alignlab.runs.folder import RunFolder
from alignlab.training.spec import ReferenceSpec
from alignlab.training.stage import run_stage
from tests.training.small import load_small, small_stage
from tests.training.strategies.group import on_ranks

pytestmark = pytest.mark.slow

SMALL = {"microbatch_tokens": 150, "lists_per_step": 7}
"""Several micro-batches a step, not equally many on both ranks, and a last step of three lists."""
CASES = {
    "dpo": {},
    "dpo live": {"mode": "live"},
    "dpo live sharded": {"mode": "live", "shard": True},
    "dpo sum": {"hyper": {"reduction": "sum"}},
    "lipo_lambda": {"other": True},
    "lipo_lambda sft kl length": {
        "hyper": {"regularizers": ["sft", "kl", "length"]},
        "mode": "live",
        "other": True,
    },
    "simpo entropy": {"hyper": {"regularizers": ["entropy"]}},
    "kto": {},
    "bco": {},
    "bco running": {"hyper": {"delta": "running"}, "mode": "live"},
    "aot": {},
    "sparse_po": {},
    "gpm": {},
    "attribute_regression": {},
    "more simcse swav": {"hyper": {"regularizers": ["simcse", "swav"]}},
    "dpo l2_to_reference": {"hyper": {"regularizers": {"l2_to_reference": 10.0}}, "steps": 2},
}
MIXED = "lipo_lambda sft kl length"
ENGINES = {
    "ddp": [*CASES],
    "fsdp": ["dpo live", MIXED, "bco"],
    "fsdp2": [
        "dpo live",
        "dpo live sharded",
        MIXED,
        "bco running",
        "gpm",
        "attribute_regression",
        "more simcse swav",
    ],
    "deepspeed_zero1": [MIXED, "bco"],
    "deepspeed_zero2": [MIXED, "bco"],
    "deepspeed_zero3": ["dpo live sharded", MIXED, "bco running", "sparse_po"],
}
"""Cases of each engine. How ranks share losses and statistics is the same on all, so ddp does every case; the others
do those that read weights where they are spread: a live reference, one that is spread too, whole vocabularies, rows
that are gathered, state and parameters of an objective. Their own files have the rest."""


def plain_sgd(policy, steps, count):
    """Weights are linear in the gradients of the steps, so equal weights mean equal gradients."""
    optimizer = torch.optim.SGD(policy.parameters(), lr=0.05)
    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)


def outcome(folder: Path, case: str, settings: dict, engine: str | None) -> tuple:
    """Metrics that the run ends with, its weights, and those that it began with."""
    world = 1 if engine is None else 2
    changes = {} if engine is None else {"engine": call(read_choice("strategy", engine)["engine"], engine)()}
    other, mode = settings.get("other", False), settings.get("mode", "auto")
    load = partial(
        load_small, seed=int(other)
    )  # another model where rounding would decide ranks of equal scores
    changes["reference"] = ReferenceSpec(
        mode, f"small {int(other)}", load, not other, shard=settings.get("shard")
    )
    folder = folder / f"{engine}-{case}".replace(" ", "-")
    stage = small_stage(
        folder,
        case.split()[0],
        hyper=dict(settings.get("hyper", {})),
        data=SMALL,
        trainer={"max_steps": settings.get("steps", 4), "devices": world, "gradient_clip_val": 1.0},
        make_optimizer=plain_sgd,
        **changes,
    )
    result = run_stage(stage, RunFolder(folder))
    if not ranks.main():
        return ()
    kept = {
        name: value for name, value in result.final.items() if not name.endswith(("tokens_per_second", "_mb"))
    }
    return kept, flat(result.model), flat(stage.load_model()[0])


def flat(model) -> torch.Tensor:
    """The weights of a model, one after the other."""
    return torch.cat([weight.detach().flatten() for weight in model.parameters()])


def matrix(folder: Path, engine: str | None) -> dict[str, tuple]:
    """Every case of the engine, or of a process alone, one after the other."""
    return {case: outcome(folder, case, CASES[case], engine) for case in ENGINES[engine or "ddp"]}


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return matrix(tmp_path_factory.mktemp("alone"), None)


@pytest.mark.parametrize("engine", ENGINES)
def test_two_ranks_are_one_process(engine, alone, tmp_path):
    if engine.startswith("deepspeed") and not find_spec("deepspeed"):
        pytest.skip("deepspeed is not installed: pip install -e '.[deepspeed]'")
    together = on_ranks(2, matrix, tmp_path, engine)[0]
    for case, (metrics, weights, _) in together.items():
        expected, reached, start = alone[case]
        assert (reached - start).abs().max() > 1e-3, case
        assert (weights - reached).abs().max() < 1e-5, case
        assert metrics == pytest.approx(expected, abs=2e-4, rel=1e-4), case
