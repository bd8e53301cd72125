"""FSDP1 and FSDP2 on two ranks: every option and precision trains as one process does."""

from dataclasses import replace

import pytest
import torch

from alignlab.errors import ConfigError
from alignlab.training.strategies.fsdp import Fsdp
from alignlab.training.strategies.fsdp2 import Fsdp2
from tests.training.small import load_small
from tests.training.strategies.cases import Run, run_all
from tests.training.strategies.group import on_ranks

ENGINES = ["fsdp", "fsdp2"]
MICRO = {"data": {"microbatch_tokens": 150, "lists_per_step": 7}}
"""Several micro-batches a step, not equally many on both ranks."""
RUNS = {
    "clipped": Run("clipped", changes={**MICRO, "trainer": {"gradient_clip_val": 0.05}}),
    "whole in between": Run("whole", changes=MICRO, options={"reshard_after_forward": False}),
    "once a step": Run(
        "once",
        objective="lipo_lambda",
        options={"reduce": "last"},
        changes={**MICRO, "trainer": {"gradient_checkpointing": True}},
    ),
    "pulled back": Run(
        "pulled-back", changes={**MICRO, "hyper": {"regularizers": {"l2_to_reference": 30.0}}}
    ),
    "masks that learn": Run("masks", objective="sparse_po", changes={**MICRO, "mode": "live"}),
    "mixed": Run("mixed", changes={"trainer": {"precision": "bf16-mixed"}}),
}
TOLERANCE = {"mixed": 2e-2}


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return run_all(tmp_path_factory.mktemp("alone"), list(RUNS.values()))


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    runs = [
        replace(run, engine=engine, folder=f"{engine}-{run.folder}")
        for engine in ENGINES
        for run in RUNS.values()
    ]
    return on_ranks(2, run_all, tmp_path_factory.mktemp("together"), runs)[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("engine", ENGINES)
def test_two_ranks_train_as_one_process(engine, name, alone, together):
    folder = RUNS[name].folder
    expected, found = alone[folder], together[f"{engine}-{folder}"]
    start = dict(load_small()[0].named_parameters())
    assert max((expected.weights[key] - start[key]).abs().max() for key in start) > 1e-3
    assert found.losses == pytest.approx(expected.losses, abs=TOLERANCE.get(name, 1e-5))
    assert found.gap(expected) < TOLERANCE.get(name, 1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_a_sharded_process_alone_trains_too(engine, alone, tmp_path):
    run = replace(RUNS["clipped"], engine=engine)
    found = run_all(tmp_path, [run])["clipped"]
    assert found.gap(alone["clipped"]) < 1e-6
    assert not torch.distributed.is_initialized()


def test_an_option_that_is_none():
    with pytest.raises(ConfigError, match=r"strategy\.engine\.reduce"):
        Fsdp2(reduce="never")


def test_what_fsdp1_cannot_offload():
    with pytest.raises(ConfigError, match="reduce=last"):
        Fsdp(cpu_offload=True)
