"""alignlab: preference alignment of language models."""

from typing import TYPE_CHECKING, Any

from alignlab.errors import AlignlabError, ConfigError, DataError, RunError

if TYPE_CHECKING:
    from alignlab.objective.load import load_objective

__all__ = ["AlignlabError", "ConfigError", "DataError", "RunError", "load_objective"]


def __getattr__(name: str) -> Any:
    """`load_objective`, imported with torch when it is first asked for: the command line tells errors without."""
    if name == "load_objective":
        from alignlab.objective.load import load_objective

        return load_objective
    raise AttributeError(f"module 'alignlab' has no attribute '{name}'")
