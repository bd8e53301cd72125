"""Who is measured, each run in a process of its own, by the log of its steps."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.cases import LR, Case, pairs_of, save_model, save_rows

SCRIPTS = Path(__file__).parents[1]
NAMES = ("alignlab", "trl", "trl best", "trl tuned", "floor")
REWARDS = "trl rewards"
"""TRL's reward model."""
MODULES = {"floor": "bench.run_floor", REWARDS: "bench.run_trl_rewards"}
"""The programs of contenders that are neither alignlab nor TRL's DPO."""
PADS = (None, 8, 16, 32, 64)

Flags = Mapping[str, Any]


@dataclass(frozen=True)
class Settings:
    """What all runs share."""

    out: Path
    model: str
    threads: int
    device: str
    tokens: int
    """Padded or unique tokens in memory at once, for every contender."""
    warmup: int
    steps: int


@dataclass(frozen=True)
class Run:
    """One run of one contender. Times are of the steps after the warm-up."""

    case: str
    contender: str
    round: int
    flags: str
    lists_per_second: float
    cpu_seconds_per_list: float
    peak_mb: float
    reference_seconds: float | None
    losses: tuple[float, ...]


class Bench:
    """One case with its model and rows on disk."""

    def __init__(self, case: Case, settings: Settings) -> None:
        self.case, self.settings = case, settings
        self.name = "".join(letter if letter.isalnum() else "_" for letter in case.name)
        self.model = save_model(
            settings.out / "models" / f"{settings.model}-{case.vocabulary}", settings.model, case.vocabulary
        )
        self.cache = settings.out / "cache"
        shutil.rmtree(self.cache, ignore_errors=True)  # the first round computes the reference
        self.rows = settings.out / "rows" / f"{self.name}.jsonl"
        lists = (settings.warmup + settings.steps) * case.lists_per_step
        self.longest = save_rows(self.rows, case, lists)

    def run(self, contender: str, flags: Flags | None, round_: int, steps: int | None = None) -> Run | None:
        """Measure once; None, with a word on where to look, where it failed. `steps` to do fewer."""
        log, steps = self._log(contender, round_), self.settings.warmup + (steps or self.settings.steps)
        command = (
            self._alignlab(log, steps, ["objective=dpo", f"objective.pairs={self.case.pairs}"])
            if contender == "alignlab"
            else self._other(contender, flags, log, steps)
        )
        return self._run(contender, command, log, flags, round_)

    def train(self, contender: str, overrides: Sequence[str], round_: int) -> Run | None:
        """Measure alignlab once with these overrides, under this name; None where it failed."""
        log, steps = self._log(contender, round_), self.settings.warmup + self.settings.steps
        return self._run(contender, self._alignlab(log, steps, overrides), log, None, round_)

    def _log(self, contender: str, round_: int) -> Path:
        """The file of a run's events, which is not there yet."""
        log = self.settings.out / "logs" / f"{self.name}-{contender.replace(' ', '_')}-{round_}.jsonl"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.unlink(missing_ok=True)
        return log

    def _run(
        self, contender: str, command: list[str], log: Path, flags: Flags | None, round_: int
    ) -> Run | None:
        settings, text = self.settings, log.with_suffix(".txt")
        with text.open("w", encoding="utf-8") as stream:
            done = subprocess.run(
                command, stdout=stream, stderr=stream, env=self._environment(), cwd=settings.out, check=False
            )
        if done.returncode:
            print(
                f"{self.case.name}: {contender} failed (exit code {done.returncode}); see {text}",
                file=sys.stderr,
            )
            return None
        shutil.rmtree(log.with_suffix(".run"), ignore_errors=True)  # checkpoint and model
        return self._measured(log, contender, flags, round_)

    def flags(self, *, tune: bool) -> dict[str, Flags | None]:
        """The flags of every contender.

        "trl best" has as many pairs in a micro-batch as there are in a step, within the tokens. "trl
        tuned" has those that are fastest in a short run, then the padding that is; not tuned, one pair
        on a CPU, where TRL's buffers of logits make fewer faster. The floor may cut its tokens finer.
        """
        sizes = self._sizes()
        best = {"pairs": sizes[0], "pad_to_multiple_of": None}
        tuned = best if self.settings.device != "cpu" else {**best, "pairs": 1}
        floor = {"tokens": self.settings.tokens}
        if tune:
            few = sorted({sizes[0], *{1, 2, 4} & {*sizes}})
            tuned = self._fastest("trl tuned", [{**best, "pairs": pairs} for pairs in few])
            tuned = self._fastest("trl tuned", [{**tuned, "pad_to_multiple_of": pad} for pad in PADS])
            floor = self._fastest("floor", [{"tokens": self.settings.tokens // 4**i} for i in range(3)])
        return {"alignlab": None, "trl": None, "trl best": best, "trl tuned": tuned, "floor": floor}

    def _sizes(self) -> list[int]:
        """Pairs of a micro-batch, from the most."""
        pairs = len(pairs_of(self.case.responses, self.case.pairs)) * self.case.lists_per_step
        most = self.settings.tokens // (2 * self.longest)
        return [n for n in range(pairs, 0, -1) if pairs % n == 0 and n <= max(1, most)]

    def _fastest(self, contender: str, options: list[Flags]) -> Flags:
        runs = [(self.run(contender, flags, 0, steps=1), flags) for flags in options]
        speeds = [(run.lists_per_second, i) for i, (run, _) in enumerate(runs) if run]
        return options[max(speeds)[1]] if speeds else options[-1]

    def _alignlab(self, log: Path, steps: int, overrides: Sequence[str]) -> list[str]:
        settings, never = self.settings, 10**9
        on_gpu = settings.device != "cpu"
        return [
            sys.executable,
            str(SCRIPTS.parent / "train.py"),
            "data=token_ids",
            f"data.path={self.rows}",
            f"data.lists_per_step={self.case.lists_per_step}",
            f"data.max_length={self.longest}",
            f"data.microbatch_tokens={settings.tokens}",
            "data.limit_validation=1",
            "model=local",
            f"model.path={self.model}",
            *overrides,
            f"optimizer.lr={LR}",
            "scheduler=constant",
            f"trainer.max_steps={steps}",
            f"trainer.validate_every_n_steps={never}",
            f"trainer.accelerator={'gpu' if on_gpu else 'cpu'}",
            f"trainer.precision={'bf16-mixed' if on_gpu else '32-true'}",
            "callbacks=step_log",
            f"callbacks.step_log.path={log}",
            f"callbacks.checkpoint.every_n_steps={never}",
            f"cache_dir={self.cache}",
            f"hydra.run.dir={log.with_suffix('.run')}",
        ]

    def _other(self, contender: str, flags: Flags | None, log: Path, steps: int) -> list[str]:
        lists = self.case.lists_per_step
        rows = log.with_suffix(".rows")
        lines = self.rows.read_text(encoding="utf-8").splitlines(keepends=True)
        rows.write_text("".join(lines[: steps * lists]), encoding="utf-8")
        spec = {
            "model": str(self.model),
            "rows": str(rows),
            "pairs": self.case.pairs,
            "lists_per_step": lists,
            "log": str(log),
            "device": self.settings.device,
        }
        spec |= (flags or {}) if contender == "floor" else {"flags": flags}
        file = log.with_suffix(".json")
        file.write_text(json.dumps(spec), encoding="utf-8")
        return [sys.executable, "-m", MODULES.get(contender, "bench.run_trl"), str(file)]

    def _environment(self) -> dict[str, str]:
        threads = str(self.settings.threads)
        quiet = {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}
        paths = os.pathsep.join([str(SCRIPTS), os.environ.get("PYTHONPATH", "")]).strip(os.pathsep)
        return {**os.environ, **quiet, "OMP_NUM_THREADS": threads, "PYTHONPATH": paths}

    def _measured(self, log: Path, contender: str, flags: Flags | None, round_: int) -> Run:
        events = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
        steps = [event for event in events if event["event"] == "step"]
        timed = steps[self.settings.warmup :]
        lists = sum(step["lists"] for step in timed)
        last = events[-1]
        return Run(
            case=self.case.name,
            contender=contender,
            round=round_,
            flags=json.dumps(flags) if flags else "",
            lists_per_second=lists / sum(step["dt"] for step in timed),
            cpu_seconds_per_list=sum(step["cpu"] for step in timed) / lists,
            peak_mb=last.get("gpu", last["hwm"]),
            reference_seconds=next((event["t"] for event in events if event["event"] == "ref"), None),
            losses=tuple(step["loss"] for step in steps),
        )


def loss_gap(runs: Sequence[Run]) -> float | None:
    """How far the losses of alignlab and TRL lie apart at most, over the same steps; None without both."""
    losses = {run.contender: run.losses for run in runs}
    if not {"alignlab", "trl best"} <= losses.keys():
        return None
    both = zip(losses["alignlab"], losses["trl best"], strict=True)
    return max(abs(ours - theirs) for ours, theirs in both)
