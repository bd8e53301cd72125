"""What recipes share: their words for models, and override strings."""

from collections.abc import Sequence

MODELS = ("previous", "base")
START = {"previous": "previous", "initial": "base"}
"""What rounds and curricula refer to, and what a stage calls it."""


def pipeline_of(names: Sequence[str], *more: str) -> str:
    """The run's pipeline with steps behind it, each once.

    >>> pipeline_of(["ranked"], "stepwise")
    'pipeline=[ranked,stepwise]'
    """
    return f"pipeline=[{','.join([*(name for name in names if name not in more), *more])}]"
