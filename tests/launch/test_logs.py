"""The log of a run: alignlab's own lines, and of libraries their errors alone, whatever level they give themselves."""

import logging

from alignlab.launch.logs import log_to


def test_libraries_that_are_imported_later_stay_quiet(tmp_path):
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    root.handlers[:] = []
    try:
        log_to(tmp_path / "train.log")
        library = logging.getLogger("lightning.pytorch.trainer")
        library.setLevel(logging.INFO)  # as Lightning does when it is imported
        library.info("a tip")
        library.error("a fault")
        logging.getLogger("alignlab.training").info("a line")
    finally:
        logging.captureWarnings(False)
        root.handlers[:] = handlers
        root.setLevel(level)
    assert [line.partition("] ")[2] for line in (tmp_path / "train.log").read_text().splitlines()] == [
        "a fault",
        "a line",
    ]
