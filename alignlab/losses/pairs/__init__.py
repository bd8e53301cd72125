"""Losses of better/worse pairs."""
