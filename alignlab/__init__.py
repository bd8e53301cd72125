"""alignlab: preference alignment of language models."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from alignlab.errors import AlignlabError, ConfigError, DataError, RunError

if TYPE_CHECKING:
    from alignlab.objective.load import load_objective
    from alignlab.policies.load import load_policy
    from alignlab.sampling.in_process import InProcess
    from alignlab.sampling.rollout import Prompt
    from alignlab.sampling.scored import batch_of
    from alignlab.sampling.settings import Sampling

__all__ = [
    "AlignlabError",
    "ConfigError",
    "DataError",
    "InProcess",
    "Prompt",
    "RunError",
    "Sampling",
    "batch_of",
    "load_objective",
    "load_policy",
]

WHEN_ASKED = {
    "load_objective": "alignlab.objective.load",
    "load_policy": "alignlab.policies.load",
    "InProcess": "alignlab.sampling.in_process",
    "Prompt": "alignlab.sampling.rollout",
    "batch_of": "alignlab.sampling.scored",
    "Sampling": "alignlab.sampling.settings",
}
"""The modules of names that come with torch, which the command line does without while it tells errors."""


def __getattr__(name: str) -> Any:
    """What is imported when it is first asked for."""
    if name in WHEN_ASKED:
        return getattr(import_module(WHEN_ASKED[name]), name)
    raise AttributeError(f"module 'alignlab' has no attribute '{name}'")
