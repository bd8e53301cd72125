"""End runs at any moment, let them go on, and compare with a run that was left alone: `python scripts/chaos.py`.

Every case is a small run on the embedded world. It is ended again and again, by SIGKILL (half of the time), SIGTERM or
SIGUSR1, at moments drawn at random, and started anew with `resume=auto` until it is finished:

    start        at any time before the first step: config, data, reference pass
    step         once a step drawn at random is in metrics.csv
    within       up to a third of a second later: while it draws, judges, writes rollouts, or moves the weights
    checkpoint   while a checkpoint is being written (the process is frozen, and ended if the file is half done)
    end          after the last step, while the model is exported
    full         its disk is filled up, but for a little room, once such a step is reported (case full-disk alone)

Of several ranks any may get the SIGKILL. A run that is asked to stop has to end with the exit code of the signal,
one on a full disk with a line that says so, and none with a traceback. Then weights, metrics, data and its order, and
every tensor of the last checkpoint (optimizer, state of the objective, moving reference, random numbers) must equal
those of the run that was left alone, bit for bit. Prints a table; exit code 1 where anything differs.
"""

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from signal import Signals

# The code of this checkout, whatever is installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from faults import disks
from faults.cases import CASES, SMALL
from faults.compare import differences
from faults.kill import MOMENTS, SIGNALS, Broken, condition, finish, kill, prepare, start, starve, steps_of

from alignlab.console import print_table

FULL = "full"
ODDS = (1, 2, 3, 3, 1)
"""How often each moment is drawn."""
SIGNAL_ODDS = dict(zip(SIGNALS, (2, 1, 1), strict=True))
Odds = dict[Signals, int]


@dataclass
class Story:
    """What became of the runs of a case."""

    case: str
    moments: Counter[str] = field(default_factory=Counter)
    signals: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    differences: list[str] = field(default_factory=list)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=91, help="over all cases together")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument(
        "--signals", nargs="+", choices=[one.name for one in SIGNALS], help="of all, if not given"
    )
    parser.add_argument("--per-run", type=int, default=4, help="kills of a run, at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="where to work, kept; a temporary folder if not given")
    asked = parser.parse_args(arguments)
    cases = [name for name in asked.cases if CASES[name].possible]
    prepare()
    signals = {one: odds for one, odds in SIGNAL_ODDS.items() if one.name in (asked.signals or [one.name])}
    began, chance = time.monotonic(), random.Random(asked.seed)
    shares = [len(range(i, asked.kills, len(cases))) for i in range(len(cases))]
    with tempfile.TemporaryDirectory() as temporary:
        out = (asked.out or Path(temporary)).resolve()
        stories = [
            torment(case, kills, asked.per_run, out / case, signals, chance)
            for case, kills in zip(cases, shares, strict=True)
        ]
    report(stories, time.monotonic() - began)
    for case in sorted({*asked.cases} - {*cases}):
        print(f"{case} was left out: this system allows no mounts")
    return int(any(story.differences for story in stories))


def torment(name: str, kills: int, per_run: int, folder: Path, signals: Odds, chance: random.Random) -> Story:
    """End runs of a case so often, and compare each with the one that was left alone."""
    story, case, whole = Story(name), CASES[name], folder / "whole"
    line = (*SMALL, *case.line, f"cache_dir={folder / 'cache'}" if case.read_only_cache else "seed=0")
    with ExitStack() as around:
        try:
            finish(start(whole, line), whole)
            if case.read_only_cache:
                around.enter_context(disks.read_only(folder / "cache"))
            while story.moments.total() < kills:
                story.runs += 1
                run = folder / f"killed-{story.runs}"
                if case.disk is not None:
                    around.enter_context(disks.small_disk(run, case.disk))
                for _ in range(min(per_run, kills - story.moments.total())):
                    if not interrupted(story, whole, run, line, signals, chance):
                        break
                finish(start(run, line), run)
                story.differences += [f"{run}: {text}" for text in differences(whole, run)]
        except Broken as broken:
            story.differences.append(f"{folder}: {broken}")
    return story


def interrupted(
    story: Story, whole: Path, run: Path, line: tuple[str, ...], signals: Odds, chance: random.Random
) -> bool:
    """Start a run, or let it go on, and end it; False where it came to its end before."""
    moment, how = chance.choices(MOMENTS, ODDS)[0], chance.choices([*signals], [*signals.values()])[0]
    full = CASES[story.case].disk is not None and moment in ("step", "within", "checkpoint")
    process = start(run, line)
    reached = condition(process, run, "step" if full else moment, chance, steps_of(whole))
    if full:
        moment, told = FULL, "a full disk"
        done = starve(process, run, reached, chance)
    else:
        told = how.name
        done = kill(process, run, how, reached, victim=chance.randrange(2) if how == SIGNALS[0] else 0)
    if done:
        story.moments[moment] += 1
        story.signals[told] += 1
        print(f"{run.parent.name}/{run.name}: {moment}, {told}, {steps_of(run)} steps reported", flush=True)
    return done


def report(stories: list[Story], seconds: float) -> None:
    moments, signals = (*MOMENTS, FULL), [number.name for number in SIGNALS]
    header = ["case", "runs", *moments, *signals, "all", "equal"]
    rows = [
        [
            *(s.case, s.runs),
            *(s.moments[moment] for moment in moments),
            *(s.signals[number] for number in signals),
            *(s.moments.total(), "no" if s.differences else "yes"),
        ]
        for s in stories
    ]
    sums = [sum(row[column] for row in rows) for column in range(1, len(header) - 1)]
    table = [*rows, ["all", *sums, "no" if any(s.differences for s in stories) else "yes"]]
    print_table(f"chaos, {seconds:.0f} s", header, [[str(value) for value in row] for row in table])
    for text in (text for story in stories for text in story.differences):
        print(text)


if __name__ == "__main__":
    disks.enter_own_mounts()
    sys.exit(main(sys.argv[1:]))
