"""Settings of all tests."""

from hypothesis import settings

settings.register_profile("alignlab", deadline=None)  # how long an example takes is for the benchmarks
settings.load_profile("alignlab")
