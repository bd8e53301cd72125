"""alignlab: preference alignment of language models."""

from alignlab.errors import AlignlabError, ConfigError, DataError, RunError
from alignlab.objective.load import load_objective

__all__ = ["AlignlabError", "ConfigError", "DataError", "RunError", "load_objective"]
