"""Output for people: progress bars on a terminal, log lines elsewhere, and tables."""

import logging
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from alignlab.uncertainty import plus_minus

log = logging.getLogger(__name__)

SILENT_SECONDS = 2.0
"""The duration in seconds below which work gets no line of its own in a log file."""


def printer(width: int = 120) -> Console:
    """Make what prints tables and texts, `width` characters wide where there is no terminal.

    A text is printed as it stands: brackets are no markup, and names between colons no emoji.
    """
    return Console(width=None if sys.stdout.isatty() else width, markup=False, emoji=False, highlight=False)


def bar() -> Progress:
    """Make a progress bar in the look of all of them."""
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[figures]}", markup=False),
        console=Console(stderr=True, markup=False, emoji=False),
    )


@contextmanager
def tracked(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a progress bar on a terminal, and else a log line for long work; yields `advance(n)`."""
    began = time.perf_counter()
    if sys.stderr.isatty():
        with bar() as progress:
            task = progress.add_task(title, total=total, figures="")
            yield lambda n: progress.advance(task, n)
            progress.update(task, completed=total)
        return
    yield lambda _: None
    if (seconds := time.perf_counter() - began) > SILENT_SECONDS:
        log.info("%s: %d in %.1f s", title, total, seconds)


@contextmanager
def quiet() -> Iterator[None]:
    """No progress and no reports of the libraries meanwhile: for a command that prints its own."""
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # type: ignore[no-untyped-call]
    ours = logging.getLogger("alignlab")
    level = ours.level
    ours.setLevel(logging.WARNING)
    try:
        yield
    finally:
        ours.setLevel(level)


@cache
def warn_once(message: str) -> None:
    """Warn of something, the first time only that this process has it to say."""
    log.warning(message)


def print_table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table on standard output; columns after the first are right-aligned."""
    table = Table(title=title, title_justify="left")
    for i, name in enumerate(header):
        table.add_column(name, justify="left" if i == 0 else "right", overflow="fold")
    for row in rows:
        table.add_row(*row)
    printer().print(table)


SHOWN = {
    "gold/reward": "gold reward of samples",
    "gold/win_rate": "win rate over the start",
    "gold/kl": "KL to the start on samples, nats",
    "gold/length": "length of samples, tokens",
    "val/loss": "loss",
    "val/rewards/accuracy": "implicit accuracy",
    "val/ranking_accuracy": "ranking accuracy",
    "val/rewards/margin": "implicit reward margin, nats",
    "val/logps/chosen": "log-prob of chosen, nats",
    "val/logps/rejected": "log-prob of rejected, nats",
    "val/lengths/chosen": "length of chosen, tokens",
    "val/lengths/rejected": "length of rejected, tokens",
    "val/logratio": "log-ratio to the reference on the data, nats",
    "val/kl_exact": "exact KL on the data, nats",
}
"""The metrics that a run is judged by, with their descriptions, in the order of the table."""


def before_and_after(*moments: Mapping[str, float]) -> list[list[str]]:
    """The lines (description, before, ..., after) of a table of the metrics in `SHOWN` that all moments have.

    Behind `±` stands half the width of the 95 % interval.
    """
    rows = []
    for name, text in SHOWN.items():
        if all(name in values for values in moments):
            rows.append([text, *(_number(values, name) for values in moments)])
    return rows


def _number(values: Mapping[str, float], name: str) -> str:
    half = (
        values.get(f"{name}_ci") or math.nan
    )  # 0 where the start is held against itself: known, not estimated
    return plus_minus(values[name], half)
