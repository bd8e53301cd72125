"""Makes rows conditioned on the score that the response is to reach: reward-augmented data, arXiv:2410.08067."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from alignlab.data.reading.rows import Drop
from alignlab.data.tables.lists import per_response
from alignlab.data.transforms.instructions import FORMS, with_instruction
from alignlab.errors import ConfigError, one_of
from alignlab.settings import Scale
from alignlab.types import Example

TEMPLATE = """\
Write a response that would be given the score below, on a scale from {low} (worst) to {high} (best).
Overall score: {goal}."""


def reward_augmented(
    example: Example,
    *,
    form: str = "system",
    template: str = TEMPLATE,
    scale: Scale = (1.0, 10.0),
    agree: str | None = None,
    split: str = "train",
) -> Iterator[Example]:
    """Make two rows of a list: the goal of one is its best raw score, of the other its worst.

    In reward-augmented data (arXiv:2410.08067) a row's prompt states its goal g, and its labels order the
    responses by the goal-conditioned reward -(g - r)^2, scaled to [0, 1]: the worst response is the
    best answer to the worst score. meta["goal"] holds g. Validation rows stay single, keep their
    labels, and ask for the best score of `scale`, as one does after training.

    `form`: system states the goal in a system turn (after the row's own, if it has one); user before the
    text of the first user turn, for models without system turns; auto is system where the row has a
    system turn, else user. `template` holds {goal}, and {low} and {high} of the `scale` of the raw scores.
    `agree` names an entry of meta with second scores of each response, a number or several by name (ratings):
    rows that have the entry are dropped where the best response has a lower mean than the worst. Rows without
    raw scores, with equal ones, or with scores beyond the scale are dropped too.
    """
    one_of("pipeline.reward_augmented.form", form, FORMS)
    low, high = scale
    stated(template, high, (low, high))
    rewards = example.rewards
    if rewards is None:
        raise Drop("no raw scores (rewards)")
    if not all(low <= reward <= high for reward in rewards):
        raise Drop(f"a raw score beyond {low:g}..{high:g}: set pipeline.reward_augmented.scale=[low,high]")
    if split == "validation":
        yield _asked(example, form, high, stated(template, high, (low, high)))
        return
    best, worst = rewards.index(max(rewards)), rewards.index(min(rewards))
    if rewards[best] == rewards[worst]:
        raise Drop("the best and the worst raw score are equal")
    second = per_response(example, agree) if agree else None
    if second and _mean(second[best]) < _mean(second[worst]):
        raise Drop(f"{agree} are lower for the best response than for the worst")
    span = goal_rewards(rewards[best], [rewards[worst]])[0]
    for goal in (rewards[best], rewards[worst]):
        row = _asked(example, form, goal, stated(template, goal, (low, high)))
        labels = [1 - value / span for value in goal_rewards(goal, rewards)]
        yield replace(row, labels=labels, id=f"{example.id}/goal={shown(goal)}")


def goal_rewards(goal: float, rewards: Sequence[float]) -> list[float]:
    """The goal-conditioned rewards -(goal - reward)^2 of responses, arXiv:2410.08067.

    >>> goal_rewards(6.5, [6.5, 2.0])
    [-0.0, -20.25]
    """
    return [-((goal - reward) ** 2) for reward in rewards]


def shown(number: float) -> str:
    """A score as text, without trailing zeros.

    >>> shown(9.0), shown(6.5)
    ('9', '6.5')
    """
    return f"{number:.10g}"


def stated(template: str, goal: float, scale: tuple[float, float]) -> str:
    """The template with the goal and the scale filled in; ConfigError where it has no {goal}, or unknown fields."""
    low, high = map(shown, scale)
    try:
        text = template.format(goal=shown(goal), low=low, high=high)
    except (KeyError, IndexError, ValueError) as error:
        raise ConfigError(
            f"pipeline.reward_augmented.template: its fields are {{goal}}, {{low}} and {{high}}: {error!r}"
        ) from error
    if "{goal}" not in template:
        raise ConfigError("pipeline.reward_augmented.template: it never says {goal}")
    return text


def _mean(scores: Mapping[str, float] | float) -> float:
    values = [*scores.values()] if isinstance(scores, Mapping) else [scores]
    return sum(values) / len(values) if values else 0.0


def _asked(example: Example, form: str, goal: float, text: str) -> Example:
    """A copy of the row whose prompt, or each of whose prompts, states the goal."""
    meta = {**example.meta, "goal": goal}
    if (prompts := per_response(example, "prompts")) is not None:
        meta["prompts"] = [with_instruction(prompt, form, text) for prompt in prompts]
    return replace(example, prompt=with_instruction(example.prompt, form, text), meta=meta)
