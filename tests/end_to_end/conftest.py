"""One cache for all end-to-end tests, and a clean process to run commands in."""

import sys
from functools import partial

import pytest

from alignlab.verbs import train
from tests.in_process import called


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def command(tmp_path, cache, monkeypatch, capfd):
    """`command(*overrides)` runs the command line in this process: exit code, and what it printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ALIGNLAB_CACHE", str(cache))

    def run(*overrides):
        monkeypatch.setattr(sys, "argv", sys.argv)
        return called(partial(train.run, overrides), capfd)

    return run
