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


def rlhf(pipeline: Sequence[str], *, judge: str = "reward_model") -> Iterator[StageSpec]:
    """Yield a stage `reward` on the preferences of the data, and a stage `policy` that trains against its model.

    The policy starts as the run's own model, which is its reference too, and trains with the run's objective on its own
    responses to the prompts of the same rows. What is to be set of either goes into `recipe.overrides`. `judge` is the
    choice that has the model of the first stage as its `path`: `reward_model`, or `discriminator`, which trains on.
    """
    yield StageSpec("reward", REWARD, init="base", reference="base")
    online = ("recipe=online", f"judge={judge}", f"judge.path={PREVIOUS_JUDGE}")
    yield StageSpec("policy", online, init="base", reference="base")
