"""One cluster for all tests here, and the command line in this process, from where jobs are sent."""

import runpy
import sys
from functools import partial

import pytest

from tests.end_to_end.command import environment
from tests.in_process import called
from tests.repository import ROOT
from tests.slurm.cluster import Cluster, missing


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    if absent := missing():
        pytest.skip(f"no {', '.join(absent)} here: apt-get install munge slurmctld slurmd slurm-client")
    made = Cluster(tmp_path_factory.mktemp("slurm"))
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def command(cluster, cache, tmp_path, monkeypatch, capfd):
    """`command(program, *overrides)` runs a program of the repository: exit code, and what it printed."""
    monkeypatch.chdir(tmp_path)
    for key, value in {**environment(cache), **cluster.environment}.items():
        monkeypatch.setenv(key, value)

    def run(program, *overrides):
        monkeypatch.setattr(sys, "argv", [program, *overrides])
        told = called(partial(runpy.run_path, str(ROOT / program), run_name="__main__"), capfd)
        told.code = told.code or 0
        return told

    return run
