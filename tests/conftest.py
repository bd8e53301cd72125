"""Settings of all tests."""

import os

import pytest
from hypothesis import settings

settings.register_profile("alignlab", deadline=None)  # how long an example takes is for the benchmarks
settings.load_profile("alignlab")


@pytest.fixture(autouse=True)
def same_environment():
    """Engines leave variables behind that make the processes of later tests take themselves for ranks."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


def pytest_collection_modifyitems(items):
    """Files with slow tests come first, so that of several processes none works alone at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)
