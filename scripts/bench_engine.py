"""Speed and memory of alignlab beside TRL and the floor: `python scripts/bench_engine.py [--quick]`.

Contenders run in turn, round after round, each in its own process, on the same rows of token ids and the same
model: DPO with a frozen reference, AdamW, one update a step, equal threads and precision (float32 on a CPU, bfloat16
autocast on a GPU).

    alignlab     python train.py data=token_ids callbacks=step_log
    trl          TRL's DPOTrainer with its defaults (install the extra `bench`)
    trl best     its best flags (scripts/bench/run_trl.py), a step in one micro-batch where memory allows
    trl tuned    the same, with the size of micro-batches and pad_to_multiple_of that are fastest here
    floor        bare forward, backward and update over each token once: scripts/bench/run_floor.py

Speed is compared with the fastest of the three, memory with `trl best`, which may hold as many tokens at once.
Prints a table a case and whether the goals are met; writes runs.csv, summary.csv, cases.png, growth.png, and all
logs below --out. For figures worth keeping, the machine must have nothing else to do.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

# The code of this checkout, whatever is installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.cases import COMPARED, GROWN, MODELS, Case
from bench.contenders import NAMES, Bench, Run, Settings
from bench.report import Line, lines, plot, print_case, print_growth, write_csv

GROWING = ("alignlab", "trl tuned", "floor")
QUICK = {
    "cases": ["short", "K=4, all"], "rounds": 1, "steps": 1, "tune": False, "lists": 2, "vocabulary": 16_384
}  # fmt: skip


def compare(case: Case, settings: Settings, names: Sequence[str], rounds: int, *, tune: bool) -> list[Run]:
    """All contenders of a case, in turn, round after round; those that failed are left out."""
    bench = Bench(case, settings)
    flags = bench.flags(tune=tune)
    turns = [bench.run(name, flags[name], number) for number in range(1, rounds + 1) for name in names]
    return [run for run in turns if run]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a small run of two cases, about 3 minutes")
    parser.add_argument("--model", choices=MODELS, default="llama17m")
    parser.add_argument(
        "--cases", nargs="*", default=[""], help="names or beginnings of names; none: --growth alone"
    )
    parser.add_argument("--contenders", nargs="+", choices=NAMES, default=NAMES)
    parser.add_argument(
        "--growth", action="store_true", help="also time and memory against K, prompt and vocabulary"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--warmup", type=int, default=1, help="steps that are not timed")
    parser.add_argument("--steps", type=int, default=3, help="steps that are")
    parser.add_argument(
        "--tune", action=argparse.BooleanOptionalAction, default=True, help="measure the best flags"
    )
    parser.add_argument("--tokens", type=int, default=16_384, help="tokens in memory at once")
    parser.add_argument("--lists", type=int, help="lists a step (default: the case's own)")
    parser.add_argument("--vocabulary", type=int, help="instead of the case's own")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--out", type=Path, default=Path("outputs/bench"))
    if parser.parse_args().quick:
        parser.set_defaults(**QUICK)
    return parser.parse_args()


def main() -> None:
    args = arguments()
    shared = ("model", "threads", "device", "tokens", "warmup", "steps")
    settings = Settings(out=args.out.resolve(), **{name: getattr(args, name) for name in shared})
    changes = {"lists_per_step": args.lists, "vocabulary": args.vocabulary}
    changes = {name: value for name, value in changes.items() if value}
    changes |= {"goal": None} if changes else {}  # goals are for the cases as they stand
    cases = [replace(case, **changes) for case in COMPARED if case.name.startswith(tuple(args.cases))]
    runs: list[Run] = []
    for case in cases:
        runs += compare(case, settings, args.contenders, args.rounds, tune=args.tune)
        print_case(case, [line for line in saved(runs, settings.out) if line.case == case.name])
    if cases:
        plot(settings.out / "cases.png", {"": cases}, saved(runs, settings.out), growth=False)
    for axis, steps in GROWN.items() if args.growth else ():
        for case in steps:
            runs += compare(case, settings, [n for n in GROWING if n in args.contenders], 1, tune=False)
        print_growth(axis, steps, saved(runs, settings.out))
    if args.growth:
        plot(settings.out / "growth.png", GROWN, saved(runs, settings.out), growth=True)
    print(f"written: {settings.out}")


def saved(runs: Sequence[Run], out: Path) -> list[Line]:
    """What the runs come to, and both on disk."""
    found = lines(runs)
    write_csv(out / "runs.csv", runs)
    write_csv(out / "summary.csv", found)
    return found


if __name__ == "__main__":
    main()
