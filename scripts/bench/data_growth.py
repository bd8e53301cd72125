"""Memory and time of many rows: `python -m bench.data_growth {build,start} ROWS FOLDER TOKENIZER` prints JSON.

`build` writes, tokenizes and batches them; `start` does, in a process of its own, what a cached run does first.
"""

import json
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# The code of this checkout, whatever is installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from alignlab.data.batching.batches import StepLoader
from alignlab.data.encoding.prepare import require_vocabulary, tokenized
from alignlab.data.encoding.token_rows import TokenRows
from alignlab.data.encoding.tokenize import Encoder, Limits
from alignlab.data.reading.examples import Report
from alignlab.data.tables.table import ExampleTable, write_table
from bench.data_pairs import SHORT, load_tokenizer, pairs

LIMITS = Limits(1024, 512, 32)
Facts = dict[str, float]


def build(count: int, folder: Path, tokenizer: Path) -> Facts:
    """Seconds of each phase, and the peak of memory after it."""
    facts: Facts = {}
    with told(facts, "examples"):
        write_table(folder / "examples", pairs(count, **SHORT))
    with told(facts, "tokenize"):
        rows = opened(folder, tokenizer)
    facts["tokens"] = float(rows.unique.sum())
    with told(facts, "batches"):
        facts["lists"] = sum(len(batch.ids) for step in loader(rows) for batch in step)
    return facts


def start(count: int, folder: Path, tokenizer: Path) -> Facts:
    """Seconds to the first batch of a cached run, and of a run that resumes in the middle of an epoch."""
    facts: Facts = {}
    with told(facts, "start"):
        rows = opened(folder, tokenizer)
        require_vocabulary(rows, 10**9)
        loader(rows).largest()
        next(iter(loader(rows)))
    steps = loader(rows).steps_per_epoch
    for name, at in {
        "begin": 0,
        "middle": steps // 2,
        "end": steps - 1,
        "epoch3": 2 * steps + steps // 3,
    }.items():
        with told(facts, f"resume_{name}"):
            next(iter(loader(rows, start=at, steps=3 * steps)))
    return facts


def opened(folder: Path, tokenizer: Path) -> TokenRows:
    """The tokenized rows, from the cache where they are."""
    encoder = Encoder(load_tokenizer(tokenizer))
    return tokenized(ExampleTable(folder / "examples"), encoder, LIMITS, folder, Report())[0]


def loader(rows: TokenRows, *, start: int = 0, steps: int | None = None) -> StepLoader:
    """An epoch in shuffled order."""
    return StepLoader(
        rows, lists_per_step=64, microbatch_tokens=16_384, shuffle=True, packed=True, start=start, steps=steps
    )


@contextmanager
def told(facts: Facts, name: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    facts[f"{name}_seconds"] = time.perf_counter() - began
    facts[f"{name}_peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    what, rows, folder, tokenizer = sys.argv[1:]
    print(json.dumps({"build": build, "start": start}[what](int(rows), Path(folder), Path(tokenizer))))
