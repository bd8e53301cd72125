"""One cache for all end-to-end tests, and a clean process to run commands in."""

import sys
from functools import partial

import pytest

from alignlab.launch.cli import launch
from tests.in_process import called
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
        return called(partial(launch, train.main), capfd)

    return run
