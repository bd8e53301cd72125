"""Suites of `alignlab evaluate`: a file each, with a function `run` from a subject to a result."""
