"""A program in this process, which then is as it was before: exit code, and what it printed."""

import logging
import os
import warnings
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any


def called(work: Callable[[], Any], capfd) -> SimpleNamespace:
    before, handlers, code = dict(os.environ), list(logging.getLogger().handlers), 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            work()
        except SystemExit as stop:
            code = stop.code
        finally:
            os.environ.clear()
            os.environ.update(before)
            logging.captureWarnings(False)
            logging.getLogger().handlers[:] = handlers
    out, err = capfd.readouterr()
    return SimpleNamespace(code=code, out=out, err=err)
