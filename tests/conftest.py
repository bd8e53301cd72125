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
