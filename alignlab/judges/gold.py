"""The judge that knows: an exact reward of prompt and response, as the embedded world has one."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from alignlab.errors import AlignlabError
from alignlab.judges.judge import Asked, Judged
from alignlab.judges.worth import lines_of, worth
from alignlab.targets import locate


class Gold:
    """Rewards by `reward(prompt, response)`, a function of texts that a config names by its dotted path.

    It gives a number, or a dataclass whose field `reward` is one and whose others are aspects. The prompt is the
    contents of its turns, a line each.
    """

    joint = True

    def __init__(self, *, reward: str = "alignlab.lab.reward.gold") -> None:
        self.reward, self.identity = locate(reward, "judge.reward"), f"gold: {reward}"

    @classmethod
    def problems(cls, settings: Mapping[str, Any]) -> Iterator[str]:
        """Yield what is wrong with the settings, before anything is drawn."""
        yield from unfound(settings["reward"], "judge.reward")

    def __call__(self, asked: Sequence[Asked]) -> list[Judged]:
        """Judge each list, in order."""
        return [self._judged(one) for one in asked]

    def _judged(self, one: Asked) -> Judged:
        prompts = [lines_of(one.prompt_of(place)) for place in range(len(one.responses))]
        said = [
            worth(self.reward(prompt, response))
            for prompt, response in zip(prompts, one.responses, strict=True)
        ]
        names = said[0][1] if said else {}
        aspects = {name: tuple(parts[name] for _, parts in said) for name in names}
        return Judged(rewards=tuple(reward for reward, _ in said), aspects=aspects)


def unfound(target: str, path: str) -> Iterator[str]:
    """Yield a message where a dotted path, the value of the config key `path`, leads to no function."""
    try:
        if not callable(locate(target, path)):
            yield f"{path}={target} is no function"
    except AlignlabError as error:
        yield str(error)
