"""Run folders: what a run leaves behind, written and read."""
