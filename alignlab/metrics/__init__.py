"""Metrics: plain functions of signals, never inside a loss."""
