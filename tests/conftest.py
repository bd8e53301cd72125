"""Settings of all tests."""

import os

import pytest
from hypothesis import settings

settings.register_profile("alignlab", deadline=None)  # how long an example takes is for the benchmarks
settings.load_profile("alignlab")


def pytest_collection_modifyitems(config, items):
    """Leave out what is marked exhaustive, unless `-m` speaks of it: its laws run on representatives too.

    Files with slow tests come first, so that of several processes none works alone at the end.
    """
    if "exhaustive" not in config.option.markexpr:
        left_out = [item for item in items if item.get_closest_marker("exhaustive")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(autouse=True)
def same_environment():
    """Engines leave variables behind that make the processes of later tests take themselves for ranks."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)
