"""Evaluation of a trained policy on its own samples."""
