"""Reinforcement learning from human feedback: a reward model of the preferences, then the policy online against it."""

from collections.abc import Iterator, Sequence

from alignlab.recipes.stage_spec import PREVIOUS_JUDGE, StageSpec

REWARD = (
    "policy=reward_model",
    "objective=bradley_terry",
    "regularizers=[]",
    "modifiers=[]",
    "evaluation=none",
)
"""The overrides that make a stage train a reward model on the rows of the run."""
ONLINE = ("recipe=online", "judge=reward_model", f"judge.path={PREVIOUS_JUDGE}")
"""The overrides that make a stage draw its lists, and have them judged by the model of the stage before."""


def rlhf(pipeline: Sequence[str]) -> Iterator[StageSpec]:
    """Yield a stage `reward` on the preferences of the data, and a stage `policy` that trains against its model.

    The policy starts as the run's own model, which is its reference too, and trains with the run's objective on its own
    responses to the prompts of the same rows. What is to be set of either goes into `recipe.overrides`.
    """
    yield StageSpec("reward", REWARD, init="base", reference="base")
    yield StageSpec("policy", ONLINE, init="base", reference="base")
