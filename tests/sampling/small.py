"""A small language model with prompts of many lengths, and log-probabilities computed the plain way."""

import random
from functools import cache

import torch

from alignlab.sampling.rollout import Prompt
from tests.policies.models import VOCABULARY, build

STOP = 2


@cache
def model(family="llama"):
    return build(family).float().eval()


def prompts(count, longest=9):
    rng = random.Random(0)
    return [
        Prompt(f"row-{i}", [rng.randrange(3, VOCABULARY) for _ in range(rng.randint(1, longest))])
        for i in range(count)
    ]


def logits_alone(model, prompt_ids, response):
    """The logits of each token of a response, without a cache."""
    ids = torch.tensor([[*prompt_ids, *response]])
    with torch.no_grad():
        return model(input_ids=ids, use_cache=False).logits[0, len(prompt_ids) - 1 : -1]


def ids_of(rollouts):
    return [ids.tolist() for rollout in rollouts for ids in rollout.responses]
