"""What draws responses: in the process of the training, or on a server elsewhere."""

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from alignlab.sampling.rollout import Prompt, Rollout
from alignlab.sampling.settings import Sampling


@runtime_checkable
class Generator(Protocol):
    """Draws responses from a language model, whose weights may be set to those of a policy that trains.

    Every class of the config group `generator` is called with the policy's model and the tokens that end a response,
    as `InProcess(model, stop)`, and with its own settings by name.
    """

    version: int
    """The number of optimizer steps that the weights drawn from had seen."""

    def weights(self) -> str:
        """Return a name of the weights drawn from, which other weights do not have; it stands beside what is drawn."""
        ...

    def draw(
        self, prompts: Sequence[Prompt], n: int, how: Sampling, *, tell: Callable[[Rollout], None] = ...
    ) -> list[Rollout]:
        """Draw `n` responses for each prompt, in the order of the prompts; `tell` gets each in that order.

        Raises ConfigError for what cannot be drawn here at all, and RunError where drawing failed.
        """
        ...

    def sync(self, version: int) -> None:
        """Draw from the present weights of the policy from now on, which have seen so many optimizer steps.

        All ranks call it. Raises ConfigError where that cannot be, and RunError where the weights did not arrive.
        """
        ...
