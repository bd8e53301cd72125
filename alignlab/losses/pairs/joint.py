"""Pairwise losses over more text than the two responses: their prompts, or a rationale."""

from collections.abc import Callable
from functools import partial

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from alignlab.errors import one_of
from alignlab.losses.pairs.pairwise import dpo
from alignlab.objective.numeric import PerPair


def dove(*, beta: float = 0.1, prompt: str = "none") -> Callable[..., Float[Tensor, "P"]]:
    """Joint preference optimization, DOVE, arXiv:2404.00530: preferences between different prompts.

    `dpo` on log-ratios of (prompt, response) pairs. `prompt="none"` scores the responses, each given
    its own prompt; `"sum"` adds the log-ratios of the prompts. Responses of one prompt make both
    forms `dpo`. The sum favours long prompts; a mean would want their lengths, which are no signal.

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


def rationale_dpo(
    chosen_logratios: Float[Tensor, "P"],
    rejected_logratios: Float[Tensor, "P"],
    rationale_logps: Float[Tensor, "P"],
    *,
    beta: PerPair = 0.1,
    gamma: float = 0.1,
    form: str = "nll",
) -> Float[Tensor, "P"]:
    """Rationale-augmented DPO, arXiv:2407.14477 eq. 4.

    `dpo` - gamma * log policy(rationale | prompt, both responses), in nats, sum over the rationale's
    tokens. `form="logsigmoid"` is the released code's `dpo` - log sigmoid(gamma * log policy), whose
    slope is at most gamma. With gamma = 0 the paper's form is `dpo`. Every pair of a list counts its
    rationale.

    >>> import torch
    >>> rationale_dpo(torch.tensor([0.5]), torch.tensor([-0.5]), torch.tensor([-45.0]), gamma=0.01)
    tensor([1.0944])
    """
    rationale = gamma * rationale_logps
    if one_of("form", form, ("nll", "logsigmoid")) == "logsigmoid":
        rationale = F.logsigmoid(rationale)
    return dpo(chosen_logratios, rejected_logratios, beta=beta) - rationale
