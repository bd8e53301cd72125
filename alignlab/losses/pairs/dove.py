"""Joint preference optimization (DOVE): pairs whose responses may have different prompts."""

from collections.abc import Callable
from functools import partial

from jaxtyping import Float
from torch import Tensor

from alignlab.errors import one_of
from alignlab.losses.pairs.dpo import dpo
from alignlab.objective.numeric import PerPair
from alignlab.settings import PositiveNumber


def dove(*, beta: PositiveNumber = 0.1, prompt: str = "sum") -> Callable[..., Float[Tensor, "P"]]:
    """Joint preference optimization, DOVE, arXiv:2404.00530: preferences between different prompts.

    `dpo` on log-ratios of (prompt, response) pairs.

    `prompt="sum"` scores the joint probability of prompt and response, as the authors train: the log-ratios of the
    prompts are added. `"none"` scores the responses alone, each given its own prompt. Responses of one prompt make
    both forms `dpo`. The sum favours long prompts; a mean would want their lengths, which are no signal.

    >>> import torch
    >>> dove(prompt="none")(torch.tensor([0.5]), torch.tensor([-0.5]))
    tensor([0.6444])
    """
    return partial(with_prompts if one_of("prompt", prompt, ("none", "sum")) == "sum" else dpo, beta=beta)


def with_prompts(
    chosen_logratios: Float[Tensor, "P"],
    rejected_logratios: Float[Tensor, "P"],
    chosen_prompt_logps: Float[Tensor, "P"],
    rejected_prompt_logps: Float[Tensor, "P"],
    chosen_ref_prompt_logps: Float[Tensor, "P"],
    rejected_ref_prompt_logps: Float[Tensor, "P"],
    *,
    beta: PerPair,
) -> Float[Tensor, "P"]:
    """`dpo` on log-ratios summed over the tokens of the prompt and of the response."""
    chosen = chosen_logratios + chosen_prompt_logps - chosen_ref_prompt_logps
    rejected = rejected_logratios + rejected_prompt_logps - rejected_ref_prompt_logps
    return dpo(chosen, rejected, beta=beta)
