"""Regularizers: functions of signals that compose with any objective. One file each."""
