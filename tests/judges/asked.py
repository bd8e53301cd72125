"""Lists to judge, in words of the lab, and models that score them."""

import torch

from alignlab.judges.judge import Asked
from tests.training.small import load_small

RESPONSES = ("The fox is red.", "The fox eats mice.", "It can dig.")


def asked(name="0", responses=RESPONSES, prompt="Tell me about the fox.", **fields):
    return Asked(name, [{"role": "user", "content": prompt}], tuple(responses), **fields)


def save_policy(kind, folder, seed=0, **settings):
    """A policy with a random head in a `model/` folder."""
    model, tokenizer = load_small(seed=seed)
    policy = kind(kind.adopt(model, tokenizer, **settings), **settings)
    for name, weight in policy.named_parameters():
        if "score" in name:
            weight.data = torch.randn(weight.shape, generator=torch.Generator().manual_seed(0))
    policy.export(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)
