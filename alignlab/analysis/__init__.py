"""Analyses of a trained policy, each of which gives a table and a picture."""
