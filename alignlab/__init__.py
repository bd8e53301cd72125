"""alignlab: preference alignment of language models."""

from typing import TYPE_CHECKING, Any

from alignlab.errors import AlignlabError, ConfigError, DataError, RunError

if TYPE_CHECKING:
    from alignlab.objective.load import load_objective
    from alignlab.policies.load import load_policy

__all__ = ["AlignlabError", "ConfigError", "DataError", "RunError", "load_objective", "load_policy"]


def __getattr__(name: str) -> Any:
    """What is imported with torch when it is first asked for: the command line tells errors without."""
    if name == "load_objective":
        from alignlab.objective.load import load_objective

        return load_objective
    if name == "load_policy":
        from alignlab.policies.load import load_policy

        return load_policy
    raise AttributeError(f"module 'alignlab' has no attribute '{name}'")
