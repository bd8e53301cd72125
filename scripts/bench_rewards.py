"""Reward models beside TRL's RewardTrainer: `python scripts/bench_rewards.py [--model nano]`.

Both train Bradley-Terry on the same rows of token ids from the same random decoder: lists of 8, of which TRL is given
all pairs, and pairs behind prompts of 512 tokens. They run in turn, round after round, each in its own process. Prints
medians over rounds of CPU seconds a step (all threads, without the first step), of their ratio in the same round, and
of the peak of memory. For figures worth keeping, the machine must have nothing else to do.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from statistics import median

# The code of this checkout, whatever is installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.cases import MODELS, Case
from bench.contenders import REWARDS, Bench, Run, Settings

from alignlab.console import print_table

CASES = [
    Case("lists of 8, all pairs", (64, 64), (64, 64), responses=8, pairs="all", lists_per_step=2),
    Case("pairs, prompts of 512", (512, 512), (64, 64), lists_per_step=8),
]
NAMES = ("alignlab", REWARDS)


def rounds(bench: Bench, number: int, at_once: int) -> dict[str, list[Run]]:
    """The runs of both, one a round, in turn."""
    line = ["policy=reward_model", "objective=bradley_terry", f"objective.pairs={bench.case.pairs}"]
    runs: dict[str, list[Run]] = {name: [] for name in NAMES}
    for turn in range(1, number + 1):
        both = bench.train("alignlab", line, turn), bench.run(REWARDS, {"pairs": at_once}, turn)
        if all(both):
            for run in filter(None, both):
                runs[run.contender].append(run)
    return runs


def row(case: Case, runs: dict[str, list[Run]]) -> list[str]:
    """A case in figures: medians of both, and how many times more CPU time and memory the other takes."""
    ours, theirs = (runs[name] for name in NAMES)
    ratios = [b.cpu_seconds_per_list / a.cpu_seconds_per_list for a, b in zip(ours, theirs, strict=True)]
    seconds = [
        median(run.cpu_seconds_per_list for run in own) * case.lists_per_step for own in (ours, theirs)
    ]
    peaks = [median(run.peak_mb for run in own) for own in (ours, theirs)]
    return [
        case.name,
        *(f"{value:.2f}" for value in (*seconds, median(ratios))),
        *(f"{value:,.0f}" for value in peaks),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", choices=MODELS, default="llama17m")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=2, help="steps that are timed, after one that is not")
    parser.add_argument("--vocabulary", type=int, default=8192)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--tokens", type=int, default=8192, help="in memory at once, for both")
    parser.add_argument("--out", type=Path, default=Path("outputs/bench_rewards"))
    args = parser.parse_args()
    settings = Settings(args.out.resolve(), args.model, args.threads, "cpu", args.tokens, 1, args.steps)
    rows = []
    for case in CASES:
        bench = Bench(replace(case, vocabulary=args.vocabulary), settings)
        if (runs := rounds(bench, args.rounds, bench.flags(tune=False)["trl best"]["pairs"]))["alignlab"]:
            rows.append(row(case, runs))
    names = ["", "cpu s/step", "TRL", "times less", "peak MB", "TRL"]
    print_table(f"{args.model}, medians of {args.rounds} rounds", names, rows)


if __name__ == "__main__":
    main()
