"""Speed and memory of the data layer: `python scripts/bench_data.py [--quick]`.

On synthetic pairs of real words, in one run:

    tokenizing      alignlab (template, tokenizer, truncation, index on disk), TRL's DPOTrainer (needs the extra
                    `bench`), and the bare tokenizer on the same texts, in turns, round after round; one process each
    random access   a list's tokens from the index, and a row of TRL's `datasets`
    many rows       time and peak memory to write, tokenize and batch them; then, in another process, the start of a
                    cached run, and resuming anywhere in an epoch

Prints tables and whether the goals are met; writes data.csv below --out. Ratios are medians over rounds.
"""

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

# The code of this checkout, whatever is installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.data_pairs import LONG, load_tokenizer, pairs
from get_smollm2 import target

from alignlab.console import print_table
from alignlab.errors import AlignlabError, RunError


@dataclass(frozen=True)
class Goal:
    """A figure, and what was wanted of it."""

    name: str
    found: float
    wanted: float
    at_most: bool = False

    @property
    def met(self) -> bool:
        return self.found <= self.wanted if self.at_most else self.found >= self.wanted


def speed(args: argparse.Namespace) -> list[Goal]:
    """Goals on tokenizing and random access."""
    from bench.data_speed import CONTENDERS, Speed, quiet

    quiet()
    bench = Speed([*pairs(args.pairs, **LONG)], load_tokenizer(args.tokenizer))
    try:
        for _ in range(args.rounds):
            bench.round()
        rates = {name: [args.pairs / s for s in bench.seconds[name]] for name in CONTENDERS}
        tokens = int(bench.rows.unique.sum())
        print_table(
            f"tokenizing {args.pairs:,} pairs, {tokens / args.pairs:,.0f} tokens each, {args.rounds} rounds",
            ["", "pairs/s", "from .. to", "cpu ms/pair", "alignlab is faster by"],
            [
                [
                    name,
                    f"{median(rate):,.0f}",
                    f"{min(rate):,.0f} .. {max(rate):,.0f}",
                    f"{1000 * median(bench.cpu[name]) / args.pairs:.2f}",
                    f"{bench.ratio(name):.2f}",
                ]
                for name, rate in rates.items()
            ],
        )
        return [
            Goal("speed to TRL", bench.ratio("trl"), 2.0),
            Goal("speed to the bare tokenizer", bench.ratio("bare tokenizer"), 0.9),
            Goal("share of rows equal to TRL's", bench.equal() / args.pairs, 1.0),
            Goal("random access to a datasets row", bench.access(), 10.0),
        ]
    finally:
        shutil.rmtree(bench.folder)


def growth(args: argparse.Namespace) -> list[Goal]:
    """Goals on many rows, each phase in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="bench_data_", dir=args.work) as folder:
        built = phase("build", args, folder)
        begun = phase("start", args, folder)
    print_table(
        f"{args.rows:,} pairs, {built['tokens'] / args.rows:,.0f} tokens each",
        ["", "seconds", "pairs/s", "peak MB"],
        [
            [name, f"{built[f'{name}_seconds']:,.1f}", f"{args.rows / built[f'{name}_seconds']:,.0f}",
             f"{built[f'{name}_peak_mb']:,.0f}"]
            for name in ("examples", "tokenize", "batches")
        ],
    )  # fmt: skip
    resumed = {
        name: value for name, value in begun.items() if name.startswith("resume") and "seconds" in name
    }
    print_table(
        "a cached run",
        ["", "seconds"],
        [["start to the first batch", f"{begun['start_seconds']:.2f}"]]
        + [
            [name.split("_")[1].join(["resume at the ", ""]), f"{value:.3f}"]
            for name, value in resumed.items()
        ],
    )
    return [
        Goal("rows in batches", built["lists"] / args.rows, 0.99),
        Goal("peak memory, GB", built["batches_peak_mb"] / 1024, 3.0, at_most=True),
        Goal("start of a cached run, s", begun["start_seconds"], 5.0, at_most=True),
        Goal("resume, s, slowest place", max(resumed.values()), 0.1, at_most=True),
    ]


def phase(name: str, args: argparse.Namespace, folder: str) -> dict[str, float]:
    """The facts of a phase."""
    command = [sys.executable, "-m", "bench.data_growth", name, str(args.rows), folder, str(args.tokenizer)]
    done = subprocess.run(
        command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False, env=dict(os.environ)
    )
    if done.returncode:
        raise RunError(f"{' '.join(command)} failed: {done.stderr.strip()[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="20,000 rows for memory, 1,000 pairs for speed")
    parser.add_argument("--tokenizer", type=Path, default=target(), help="folder (default: %(default)s)")
    parser.add_argument("--pairs", type=int, default=4000, help="pairs that speed is measured on")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--rows", type=int, default=1_000_000, help="pairs that memory is measured on; 0: none"
    )
    parser.add_argument("--work", type=Path, help="where the many rows lie meanwhile (default: the system's)")
    parser.add_argument("--out", type=Path, default=Path("outputs/bench"))
    if parser.parse_args().quick:
        parser.set_defaults(pairs=1000, rounds=3, rows=20_000)
    return parser.parse_args()


def main() -> None:
    args = arguments()
    args.tokenizer = args.tokenizer.expanduser().resolve()
    try:
        load_tokenizer(args.tokenizer)
        goals = [*speed(args), *(growth(args) if args.rows else [])]
    except AlignlabError as error:
        sys.exit(f"error: {error}")
    for goal in goals:
        bound = "at most" if goal.at_most else "at least"
        print(
            f"{'met   ' if goal.met else 'missed'} {goal.name}: {goal.found:.3g}, wanted {bound} {goal.wanted:g}"
        )
    args.out.mkdir(parents=True, exist_ok=True)
    with (args.out / "data.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, [*asdict(goals[0]), "met"])
        writer.writeheader()
        writer.writerows({**asdict(goal), "met": goal.met} for goal in goals)
    print(f"written: {args.out / 'data.csv'}")


if __name__ == "__main__":
    main()
