"""Metrics are plain functions of signals, never part of a loss."""
