"""Two ranks that draw, judge and train together come to what one process comes to."""

from functools import partial

import pytest

from alignlab.judges.gold import Gold
from alignlab.online.settings import OnlineSpec
from alignlab.training.spec import Online
from tests.training.strategies.cases import Run, run_all
from tests.training.strategies.group import on_ranks

pytestmark = pytest.mark.slow

KINDS = {
    "grpo": {"ahead": 1},
    "ppo": {},
    "xpo": {},
    "samples": {"lists": "data", "samples": 2},
}
"""How the lists of an objective are drawn."""


def runs(engine, devices):
    return [run(f"{kind}-{devices}", engine, devices, kind, spec) for kind, spec in KINDS.items()]


def run(folder, engine, devices, kind, spec):
    beside = spec.get("lists") == "data"
    changes = {
        "online": Online(OnlineSpec(**{"samples": 4, "max_new_tokens": 12, **spec}), Gold),
        "data": {"lists_per_step": 5, "microbatch_tokens": 150},
        "trainer": {"max_steps": 3, "devices": devices},
        "hyper": {"regularizers": ["hypo"]} if beside else {},
    }
    return Run(folder, engine, "dpo" if beside else kind, changes=changes)


def test_two_ranks_are_one_process(tmp_path):
    together = on_ranks(2, partial(run_all, tmp_path, runs("ddp", 2)))[0]
    alone = run_all(tmp_path, runs(None, 1))
    for kind in KINDS:
        two, one = together[f"{kind}-2"], alone[f"{kind}-1"]
        assert two.losses == pytest.approx(one.losses, abs=1e-5), kind
        assert two.gap(one) < 1e-3, kind
        names = [
            sorted(file.name for file in (tmp_path / folder / "rollouts").iterdir())
            for folder in (f"{kind}-1", f"{kind}-2")
        ]
        assert names[0] == names[1] == [f"step-00000{step}.jsonl" for step in range(3)], kind
