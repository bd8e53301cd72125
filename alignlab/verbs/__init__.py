"""The verbs of the command `alignlab`: one file each, with its help as docstring and a function `run`."""
