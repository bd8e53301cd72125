"""Tokenizing and random access: alignlab, TRL's DPOTrainer and the bare tokenizer on the same pairs, in turns."""

import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any

import datasets
from trl import DPOTrainer

from alignlab.data.encoding.chat_text import ChatText, Texts
from alignlab.data.encoding.notes import Notes
from alignlab.data.encoding.prepare import tokenized
from alignlab.data.encoding.token_rows import TokenRows
from alignlab.data.encoding.tokenize import Encoder, Limits
from alignlab.data.reading.examples import Report
from alignlab.data.tables.table import ExampleTable, write_table
from alignlab.types import Example

NO_LIMITS = Limits(10**6)
READS = 2000
CONTENDERS = ("alignlab", "trl", "bare tokenizer")


class Speed:
    """Seconds, and seconds of work of all cores, of each contender in each round; the rows that came of it."""

    def __init__(self, examples: Sequence[Example], tokenizer: Any) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="bench_data_"))
        self.tokenizer, self.encoder = tokenizer, Encoder(tokenizer)
        write_table(self.folder / "examples", examples)
        self.table = ExampleTable(self.folder / "examples")
        self.texts = [
            text
            for row in ChatText(tokenizer, Notes())(examples)
            if isinstance(row, Texts)
            for text in chain(row.prompts, row.responses)
        ]
        columns = {
            "prompt": [e.prompt for e in examples],
            "chosen": [e.responses[0] for e in examples],
            "rejected": [e.responses[1] for e in examples],
        }
        self.source = datasets.Dataset.from_dict(columns)
        self.seconds: dict[str, list[float]] = {name: [] for name in CONTENDERS}
        self.cpu: dict[str, list[float]] = {name: [] for name in CONTENDERS}
        self.rows: TokenRows
        self.theirs: datasets.Dataset

    def round(self) -> None:
        """All contenders, one after the other."""
        number = len(self.seconds["trl"])
        turns: dict[str, Callable[[], None]] = {
            "alignlab": lambda: self._alignlab(number), "trl": self._trl, "bare tokenizer": self._bare
        }  # fmt: skip
        names = [*CONTENDERS[number % 3 :], *CONTENDERS[: number % 3]]
        for name in names:
            began, worked = time.perf_counter(), time.process_time()
            turns[name]()
            self.seconds[name].append(time.perf_counter() - began)
            self.cpu[name].append(time.process_time() - worked)

    def ratio(self, other: str) -> float:
        """How many times as fast as that contender alignlab is: the median over rounds."""
        ours = self.seconds["alignlab"]
        return median(theirs / own for own, theirs in zip(ours, self.seconds[other], strict=True))

    def equal(self) -> int:
        """Rows whose tokens are TRL's, up to what its template writes after an end of turn."""
        return sum(self._equal(i) for i in range(len(self.rows)))

    def access(self) -> float:
        """How many times as fast as a row of TRL's dataset one list's tokens are read."""
        places = [(7919 * i) % len(self.rows) for i in range(READS)]
        ours, theirs = [], []
        for _ in range(7):
            began = time.perf_counter()
            for i in places:
                _ = self.rows.prompts[i], [self.rows.responses[m] for m in self.rows.members[i]]
            ours.append(time.perf_counter() - began)
            began = time.perf_counter()
            for i in places:
                _ = self.theirs[i]
            theirs.append(time.perf_counter() - began)
        return median(b / a for a, b in zip(ours, theirs, strict=True))

    def _alignlab(self, number: int) -> None:
        cache = self.folder / f"round{number}"
        self.rows, _ = tokenized(self.table, self.encoder, NO_LIMITS, cache, Report())

    def _trl(self) -> None:
        trainer = SimpleNamespace(_tokenizer=self.tokenizer)
        args = SimpleNamespace(dataset_num_proc=None, max_length=None, truncation_mode="keep_start")
        self.theirs = DPOTrainer._prepare_dataset(
            trainer, self.source, self.tokenizer, args, "train"
        ).select_columns(["prompt_ids", "chosen_ids", "rejected_ids"])

    def _bare(self) -> None:
        self.tokenizer(self.texts, add_special_tokens=False)

    def _equal(self, i: int) -> bool:
        row = self.theirs[i]
        sides = zip(self.rows.members[i], (row["chosen_ids"], row["rejected_ids"]), strict=True)
        return self.rows.prompts[i].tolist() == row["prompt_ids"] and all(
            self.rows.responses[m].tolist() == ids[: len(self.rows.responses[m])] for m, ids in sides
        )


def quiet() -> None:
    """No progress bars of other libraries, and nothing of theirs from a cache."""
    datasets.disable_progress_bars()
    datasets.disable_caching()
