"""Objectives: pure functions of named signals, one family a file; see `load.load_objective`."""
