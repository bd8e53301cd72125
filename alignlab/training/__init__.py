"""Training: the Lightning module, its callbacks, and what a run leaves behind."""
