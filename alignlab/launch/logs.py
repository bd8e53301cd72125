"""Logging: plain lines on standard error, and the same in the run folder's train.log."""

import logging
import sys
import warnings
from pathlib import Path

QUIET = ("lightning", "transformers", "datasets", "httpx", "filelock", "fsspec", "matplotlib")
"""Libraries of which only errors are logged."""

NOISE = (
    ".*LeafSpec.*",
    ".*module.s. in eval mode at the start of training.*",
    ".*`srun` command is available.*",
    ".*is_gradient_checkpointing. is deprecated.*",
)
"""Warnings of libraries about things that are as they should be."""


def log_to(file: Path | None) -> None:
    """Send alignlab's log to the console and to `file`, and nowhere else; others only where they warn.

    Without a file only warnings: so it is with the ranks that others stand for.
    """
    root = logging.getLogger()
    for handler in [*root.handlers]:
        root.removeHandler(handler)
        handler.close()
    form = logging.Formatter("[%(asctime)s] %(message)s", datefmt="%H:%M:%S")
    console = logging.StreamHandler(sys.stderr)
    console.addFilter(lambda record: not getattr(record, "file_only", False))
    files: list[logging.Handler] = [logging.FileHandler(file, encoding="utf-8")] if file else []
    for handler in (console, *files):
        handler.addFilter(_worth_telling)
        handler.setFormatter(form)
        root.addHandler(handler)
    root.setLevel(logging.INFO if file else logging.WARNING)
    logging.captureWarnings(True)
    for message in NOISE:
        warnings.filterwarnings("ignore", message=message)


def _worth_telling(record: logging.LogRecord) -> bool:
    """Whether a line is logged; levels would not do, since libraries set those of their own when they are imported."""
    return record.levelno >= logging.ERROR or record.name.partition(".")[0] not in QUIET


def quiet_libraries() -> None:
    """Keep the progress bars of transformers off the console; imports it."""
    import transformers

    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
