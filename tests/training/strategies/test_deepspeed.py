"""DeepSpeed on two ranks: checkpoints that go on on any number of ranks, offload, bfloat16, and what it refuses."""

import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from alignlab.assembly.build import call, make_optimizer
from alignlab.objective.load import load_objective, read_choice
from alignlab.policies.causal_lm import head
from alignlab.runs.folder import RunFolder
from alignlab.training.checkpointing.checkpoints import damage
from alignlab.training.rails import NonFiniteError
from alignlab.training.settings import CheckpointSpec
from alignlab.training.spec import ReferenceSpec
from alignlab.training.stage import run_stage
from alignlab.training.strategies import deepspeed
from tests.training.small import ADAMW, CONSTANT, load_small, small_stage
from tests.training.strategies.group import on_ranks

STAGES = ["deepspeed_zero1", "deepspeed_zero2", "deepspeed_zero3"]
LINEAR = {**CONSTANT, "name": "linear"}
TRAINER = {"max_steps": 4, "gradient_clip_val": 0.3}


def adamw(policy, steps, count, lr=0.01):
    """Gradients of rounding alone move nothing."""
    return make_optimizer({**ADAMW, "lr": lr, "eps": 1e-4}, LINEAR, policy, steps, count)


def train(folder, engine=None, world=1, *, options=(), trainer=(), **changes):
    """The weights that four steps of several micro-batches come to, and the gradient norm that the log ends with."""
    if engine is not None:
        node = {**read_choice("strategy", engine)["engine"], **dict(options)}
        changes["engine"] = call(node, "strategy.engine")()
    stage = small_stage(
        folder,
        data={"microbatch_tokens": 300, "limit": 32},
        trainer={**TRAINER, "devices": world, **dict(trainer)},
        make_optimizer=changes.pop("make_optimizer", adamw),
        reference=ReferenceSpec("live", "other", lambda: load_small(seed=1), is_start=False),
        checkpoint=CheckpointSpec(every_n_steps=2, keep=9),
        **changes,
    )
    result = run_stage(stage, RunFolder(folder))
    return {name: value.clone() for name, value in result.model.state_dict().items()}


def go_on(before: Path, folder: Path, engine: str, world: int):
    """The same, from the second step of a run on."""
    if world == 1 or torch.distributed.get_rank() == 0:
        shutil.copytree(before / "checkpoints", folder / "checkpoints", symlinks=True)
        shutil.rmtree(folder / "checkpoints/step-000004.ckpt")
    if world > 1:
        torch.distributed.barrier()
    return train(folder, engine, world)


def on_two(folder: Path) -> dict:
    """What two ranks come to."""
    head.KEPT_ELEMENTS = 0  # the head's weight is read in the backward too, as with large vocabularies
    split = {"persist_below": 0}
    found = {}
    for engine in STAGES:
        found[engine] = train(folder / engine, engine, 2)
        found[engine, "on two"] = go_on(folder / engine, folder / f"{engine}-two", engine, 2)
    found["split"] = train(
        folder / "split", "deepspeed_zero3", 2, options=split, trainer={"gradient_checkpointing": True}
    )
    found["offload"] = train(folder / "offload", "deepspeed_zero3_offload", 2, options=split)
    for engine in STAGES:
        rounded = {"precision": "bf16-mixed"}
        found[engine, "bfloat16"] = train(folder / f"{engine}-bf16", engine, 2, trainer=rounded)
    return found


def on_one(folder: Path) -> dict:
    """What one rank comes to that goes on where two stopped."""
    return {engine: go_on(folder / engine, folder / f"{engine}-one", engine, 1) for engine in STAGES}


def diverging(folder: Path) -> str:
    """How a run whose second gradient is not finite ends."""
    huge = lambda policy, steps, count: adamw(policy, steps, count, lr=1e30)  # noqa: E731
    try:
        train(folder, "deepspeed_zero3", 2, make_optimizer=huge)
    except NonFiniteError as error:
        return str(error)
    return "finished"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    if not find_spec("deepspeed"):
        pytest.skip("deepspeed is not installed: pip install -e '.[deepspeed]'")
    folder = tmp_path_factory.mktemp("deepspeed")
    return folder, train(folder / "alone"), on_ranks(2, on_two, folder)[0]


def far(weights, others):
    return max((value.double() - others[name].double()).abs().max().item() for name, value in weights.items())


@pytest.mark.slow
@pytest.mark.parametrize("case", [*STAGES, "split", "offload"])
def test_two_ranks_are_one_process(runs, case):
    _, alone, together = runs
    assert far(alone, dict(load_small()[0].state_dict())) > 1e-3
    assert far(alone, together[case]) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("engine", STAGES)
def test_going_on_changes_no_bit(runs, engine):
    folder, _, together = runs
    checkpoint = folder / engine / "checkpoints/step-000004.ckpt"
    assert checkpoint.is_dir()
    assert damage(checkpoint) is None
    assert far(together[engine], together[engine, "on two"]) == 0


@pytest.mark.slow
def test_going_on_on_one_rank(runs):
    folder, _, together = runs
    for engine, weights in on_ranks(1, on_one, folder)[0].items():
        assert far(together[engine], weights) < 1e-5, engine


@pytest.mark.slow
@pytest.mark.parametrize("engine", STAGES)
def test_bfloat16_ends_in_float32(runs, engine):
    _, alone, together = runs
    rounded = together[engine, "bfloat16"]
    assert {value.dtype for value in rounded.values()} == {torch.float32}
    assert 1e-6 < far(alone, rounded) < 0.03
    assert any((value != value.bfloat16()).any() for value in rounded.values())


@pytest.mark.slow
def test_a_gradient_that_is_not_finite_stops_the_run_before_it_is_saved(runs, tmp_path):
    told = on_ranks(2, diverging, tmp_path)[0]
    assert "gradient norm" in told
    assert not (tmp_path / "checkpoints").exists()


def problems(**changed):
    """What is told of a config with these settings."""
    config = {"trainer": {"on_nonfinite": "stop", "precision": "auto"}, "reference": {"update": "none"}}
    config["strategy"] = {"name": "deepspeed_zero3"}
    for path, value in changed.items():
        group, key = path.split("__")
        config[group][key] = value
    return list(deepspeed.misuses(config, load_objective("dpo")))


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"trainer__on_nonfinite": "skip"}, "on_nonfinite=stop"),
        ({"trainer__precision": "64-true"}, "32-true"),
        ({"reference__update": "ema"}, "use ddp"),
    ],
)
def test_what_it_cannot_do_is_told(monkeypatch, changed, told):
    monkeypatch.setattr(deepspeed, "find_spec", lambda name: True)
    assert problems() == []
    (problem,) = problems(**changed)
    assert told in problem


def test_a_missing_package_is_told(monkeypatch):
    monkeypatch.setattr(deepspeed, "find_spec", lambda name: None)
    (problem,) = problems()
    assert "pip install -e '.[deepspeed]'" in problem
