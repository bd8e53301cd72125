"""The names of models that recipes share, and their override strings."""

from collections.abc import Sequence

MODELS = ("previous", "base")
START = {"previous": "previous", "initial": "base"}
"""The name of a model in a stage, by its name in the settings of rounds and curricula."""


def pipeline_of(names: Sequence[str], *more: str) -> str:
    """Return the override that puts steps behind the run's pipeline, each step once.

    >>> pipeline_of(["ranked"], "stepwise")
    'pipeline=[ranked,stepwise]'
    """
    return f"pipeline=[{','.join([*(name for name in names if name not in more), *more])}]"
