"""Config: the only part that knows Hydra; checks a choice and builds what was chosen."""
