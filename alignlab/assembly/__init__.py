"""Assembly: from a config as plain dicts to a stage: its schema, its check, its parts. Knows no Hydra."""
