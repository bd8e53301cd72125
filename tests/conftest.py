"""Settings of all tests."""

import os

import pytest
from hypothesis import settings

settings.register_profile("alignlab", deadline=None)  # how long an example takes is for the benchmarks
settings.load_profile("alignlab")


def pytest_collection_modifyitems(config, items):
    """Leave out what is marked exhaustive, unless `-m` speaks of it: its laws run on representatives too."""
    if "exhaustive" not in config.option.markexpr:
        left_out = [item for item in items if item.get_closest_marker("exhaustive")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]


@pytest.fixture(autouse=True)
def same_environment():
    """Engines leave variables behind that make the processes of later tests take themselves for ranks."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)
