"""One cache for all end-to-end tests, and a clean process to run commands in."""

import logging
import os
import sys
import warnings
from types import SimpleNamespace

import pytest

from alignlab.config.cli import launch
from tests.repository import ROOT


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def command(tmp_path, cache, monkeypatch, capfd):
    """`command(*overrides)` runs the command line in this process: exit code, and what it printed."""
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ALIGNLAB_CACHE", str(cache))
    import train

    def run(*overrides):
        monkeypatch.setattr(sys, "argv", ["train.py", *overrides])
        before, handlers = dict(os.environ), list(logging.getLogger().handlers)
        code = 0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                launch(train.main)
            except SystemExit as stop:
                code = stop.code
            finally:
                os.environ.clear()
                os.environ.update(before)
                logging.captureWarnings(False)
                logging.getLogger().handlers[:] = handlers
        out, err = capfd.readouterr()
        return SimpleNamespace(code=code, out=out, err=err)

    return run
