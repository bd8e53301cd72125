"""What can be typed behind `alignlab`: a file a verb, each with its help as docstring and a function `run`."""
