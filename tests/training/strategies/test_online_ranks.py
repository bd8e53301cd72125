"""Two ranks that draw, judge and train together come to what one process comes to."""

from functools import partial

import pytest

from alignlab.judges.gold import Gold
from alignlab.online.settings import OnlineSpec
from alignlab.training.spec import Online
from tests.training.strategies.cases import Run, run_all
from tests.training.strategies.group import on_ranks

pytestmark = pytest.mark.slow


def run(folder, engine, devices):
    spec = OnlineSpec(samples=4, max_new_tokens=12)
    changes = {
        "online": Online(spec, Gold),
        "data": {"lists_per_step": 5, "microbatch_tokens": 150},
        "trainer": {"max_steps": 3, "devices": devices},
    }
    return Run(folder, engine, changes=changes)


def test_two_ranks_are_one_process(tmp_path):
    together = on_ranks(2, partial(run_all, tmp_path, [run("ddp", "ddp", 2)]))[0]["ddp"]
    alone = run_all(tmp_path, [run("alone", None, 1)])["alone"]
    assert together.losses == pytest.approx(alone.losses, abs=1e-5)
    assert together.gap(alone) < 1e-3
    names = [
        sorted(file.name for file in (tmp_path / which / "rollouts").iterdir()) for which in ("ddp", "alone")
    ]
    assert names[0] == names[1] == [f"step-00000{step}.jsonl" for step in range(3)]
