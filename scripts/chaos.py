"""Kill runs at any moment, let them go on, and compare with a run that nobody killed: `python scripts/chaos.py`.

Every case is a small run on the embedded world. It is killed with SIGKILL, again and again, at moments drawn at
random, and started anew with `resume=auto` until it is finished:

    start        at any time before the first step: config, data, reference pass
    step         once a step drawn at random is in metrics.csv
    checkpoint   while a checkpoint is being written (the process is frozen, and killed if the file is half done)
    end          after the last step, while the model is exported

Then weights, metrics, data and its order, and every tensor of the last checkpoint (optimizer, state of the objective,
moving reference, random numbers) must equal those of the run that was left alone, bit for bit. Prints a table; exit
code 1 where anything differs.
"""

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

# The code of this checkout, whatever is installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from faults.compare import differences
from faults.kill import MOMENTS, finish, kill, prepare, start, steps_of

from alignlab.console import print_table

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
CASES = {
    "plain": ("objective=dpo",),
    "token-budget": ("objective=lipo_lambda", "regularizers=[kl,sft]", "data.microbatch_tokens=300"),
    "background": ("callbacks.checkpoint.background=true", "callbacks.checkpoint.best=val/loss"),
    "running-mean": ("objective=bco", "objective.loss.delta=running", "data.microbatch_tokens=400"),
    "mask-network": ("objective=sparse_po",),
    "moving-reference": ("reference.update=ema", "reference.every_n_steps=2"),
    "stepwise": ("recipe=stepwise", "recipe.steps=2", "trainer.max_steps=5"),
    "sft-then-dpo": ("recipe=sft_then", "trainer.max_steps=5"),
    "two-ranks": ("trainer.devices=2", "trainer.accelerator=cpu", "data.microbatch_tokens=300"),
}
ODDS = (1, 4, 4, 1)
"""How often each moment is drawn."""


@dataclass
class Story:
    """What became of the runs of a case."""

    case: str
    kills: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    differences: list[str] = field(default_factory=list)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=56, help="over all cases together")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--per-run", type=int, default=4, help="kills of a run, at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="where to work, kept; a temporary folder if not given")
    asked = parser.parse_args(arguments)
    prepare()
    began, chance = time.monotonic(), random.Random(asked.seed)
    shares = [len(range(i, asked.kills, len(asked.cases))) for i in range(len(asked.cases))]
    with tempfile.TemporaryDirectory() as temporary:
        out = (asked.out or Path(temporary)).resolve()
        stories = [
            torment(case, kills, asked.per_run, out / case, chance)
            for case, kills in zip(asked.cases, shares, strict=True)
        ]
    report(stories, time.monotonic() - began)
    return int(any(story.differences for story in stories))


def torment(case: str, kills: int, per_run: int, folder: Path, chance: random.Random) -> Story:
    """Kill runs of a case so often, and compare each with the one that was left alone."""
    story, line, whole = Story(case), (*SMALL, *CASES[case]), folder / "whole"
    finish(start(whole, line), whole)
    while story.kills.total() < kills:
        run = folder / f"killed-{story.runs + 1}"
        for _ in range(min(per_run, kills - story.kills.total())):
            moment = chance.choices(MOMENTS, ODDS)[0]
            if not kill(start(run, line), run, moment, chance, steps_of(whole)):
                break
            story.kills[moment] += 1
            print(f"{run.parent.name}/{run.name}: {moment}, {steps_of(run)} steps reported", flush=True)
        finish(start(run, line), run)
        story.runs += 1
        story.differences += [f"{run}: {text}" for text in differences(whole, run)]
    return story


def report(stories: list[Story], seconds: float) -> None:
    header = ["case", "runs", *MOMENTS, "kills", "equal"]
    rows = [
        [
            s.case,
            s.runs,
            *(s.kills[moment] for moment in MOMENTS),
            s.kills.total(),
            "no" if s.differences else "yes",
        ]
        for s in stories
    ]
    sums = [sum(row[column] for row in rows) for column in range(1, len(header) - 1)]
    table = [*rows, ["all", *sums, "no" if any(s.differences for s in stories) else "yes"]]
    print_table(f"chaos, {seconds:.0f} s", header, [[str(value) for value in row] for row in table])
    for text in (text for story in stories for text in story.differences):
        print(text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
