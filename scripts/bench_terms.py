"""What terms cost beside plain DPO: `python scripts/bench_terms.py [--model nano]`.

Objectives run in turn, round after round, each in its own process, on the same rows of token ids and the same random
model: a step is one micro-batch, DPO's reference is precomputed. Prints medians of CPU seconds a step (all threads,
without the first step), of their ratio to DPO in the same round, and the peak of memory. For figures worth keeping, the
machine must have nothing else to do.
"""

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path
from statistics import median

# The code of this checkout, whatever is installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.cases import MODELS, SHORT
from bench.contenders import Bench, Run, Settings

from alignlab.console import print_table

TERMS = {
    "dpo": ["objective=dpo"],
    "dpo + kl": ["objective=dpo", "regularizers=[kl]"],
    "dpo + jeffrey": ["objective=dpo", "regularizers=[kl]", "regularizers.kl.direction=jeffrey"],
    "dpo + entropy": ["objective=dpo", "regularizers=[entropy]"],
    "wpo": ["objective=wpo"],
    "tdpo2": ["objective=tdpo2"],
    "kto": ["objective=kto"],
    "bco": ["objective=bco"],
    "aot": ["objective=aot"],
}
"""The overrides of each contender, by its name; the first is what the others are measured against."""


def rounds(bench: Bench, names: list[str], number: int) -> dict[str, list[Run]]:
    """The runs of each contender, one a round, in turn."""
    runs: dict[str, list[Run]] = {name: [] for name in names}
    for turn in range(1, number + 1):
        for name in names:
            if run := bench.train(name, TERMS[name], turn):
                runs[name].append(run)
    return runs


def print_runs(title: str, runs: dict[str, list[Run]], lists: int) -> None:
    """Print a row a contender: medians over rounds."""
    first = next(iter(runs.values()))
    rows = []
    for name, own in runs.items():
        ratios = [
            run.cpu_seconds_per_list / dpo.cpu_seconds_per_list for run, dpo in zip(own, first, strict=True)
        ]
        seconds = median(run.cpu_seconds_per_list for run in own) * lists
        peak = median(run.peak_mb for run in own)
        rows.append([name, f"{seconds:.2f}", f"{median(ratios):.2f}", f"{peak:,.0f}"])
    print_table(title, ["", "cpu s/step", "to DPO", "peak MB"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", choices=MODELS, default="llama17m")
    parser.add_argument("--terms", nargs="+", choices=TERMS, default=list(TERMS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=2, help="steps that are timed, after one that is not")
    parser.add_argument("--lists", type=int, default=SHORT.lists_per_step, help="pairs a step")
    parser.add_argument("--vocabulary", type=int, default=SHORT.vocabulary)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--out", type=Path, default=Path("outputs/bench_terms"))
    args = parser.parse_args()
    case = replace(SHORT, name="terms", lists_per_step=args.lists, vocabulary=args.vocabulary)
    settings = Settings(args.out.resolve(), args.model, args.threads, "cpu", 16_384, 1, args.steps)
    names = ["dpo", *(name for name in args.terms if name != "dpo")]
    title = f"{args.model}, {args.lists} pairs a step, vocabulary {args.vocabulary:,}"
    print_runs(title, rounds(Bench(case, settings), names, args.rounds), args.lists)


if __name__ == "__main__":
    main()
