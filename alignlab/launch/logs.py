"""The log: plain lines on standard error, and the same lines in the run folder's train.log."""

import logging
import os
import sys
import warnings
from contextlib import suppress
from pathlib import Path

QUIET = (
    "lightning.pytorch",
    "lightning.fabric",
    "transformers",
    "datasets",
    "httpx",
    "filelock",
    "fsspec",
    "matplotlib",
)
"""The libraries of which only errors are logged."""

NOISE = (
    ".*LeafSpec.*",
    ".*module.s. in eval mode at the start of training.*",
    ".*`srun` command is available.*",
    ".*is_gradient_checkpointing. is deprecated.*",
)
"""Patterns of warnings by libraries about things that are as they should be."""


class LogFile(logging.FileHandler):
    """A log file that a run can do without: where it cannot be written, a line on standard error says so, once."""

    told = False

    def handleError(self, record: logging.LogRecord) -> None:
        """Tell of a full disk in one line, and of all else as logging does."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
        elif not self.told:
            self.told = True
            print(f"{self.baseFilename} cannot be written: {error}", file=sys.stderr)

    def close(self) -> None:
        """Close the file, written out or not."""
        with suppress(OSError):
            super().close()


def log_to(file: Path | None) -> None:
    """Send alignlab's log to the console and to `file`; other libraries log only warnings.

    Without a file, alignlab logs only warnings, too: so it is with ranks other than the first.
    """
    root = logging.getLogger()
    for handler in [*root.handlers]:
        root.removeHandler(handler)
        handler.close()
    form = logging.Formatter("[%(asctime)s] %(message)s", datefmt="%H:%M:%S")
    console = logging.StreamHandler(sys.stderr)
    console.addFilter(lambda record: not getattr(record, "file_only", False))
    files: list[logging.Handler] = [LogFile(file, encoding="utf-8")] if file else []
    for handler in (console, *files):
        handler.setFormatter(form)
        root.addHandler(handler)
    root.setLevel(logging.INFO if file else logging.WARNING)
    logging.captureWarnings(True)
    for message in NOISE:
        warnings.filterwarnings("ignore", message=message)


def quiet_libraries() -> None:
    """Keep messages of libraries, short of errors, and their progress bars off the console.

    Libraries that set a log level of their own are imported here, so that this level stands.
    """
    import lightning  # noqa: F401
    import torch
    import transformers

    if not torch.cuda.is_available():
        os.environ.setdefault("DS_ACCELERATOR", "cpu")  # DeepSpeed would say at length that it found no other

    for name in QUIET:
        logging.getLogger(name).setLevel(logging.ERROR)
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
