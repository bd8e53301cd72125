"""The same draws through `generate` of transformers, for models whose cache cannot be shared: prompt by prompt."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList

from alignlab.errors import ConfigError
from alignlab.sampling.distribution import choose
from alignlab.sampling.rollout import Prompt, Row
from alignlab.sampling.settings import Sampling


def by_generate(
    model: Any, prompts: Sequence[Prompt], rows: Sequence[Row], how: Sampling, at_once: int
) -> Iterator[Row]:
    """Draw the rows of each prompt together, which needs no padding, and yield each as it ends.

    Raises ConfigError for contrastive search, which goes back in the cache.
    """
    if how.decoder == "contrastive":
        raise ConfigError(
            f"decoder=contrastive tries tokens out in a cache, which {type(model).__name__} does not keep as one of "
            "attention: use decoder=sample or greedy"
        )
    for number, own in groupby(rows, key=lambda row: row.prompt):
        together = list(own)
        for start in range(0, len(together), at_once):
            yield from _generated(model, prompts[number], together[start : start + at_once], how)


def _generated(model: Any, prompt: Prompt, rows: list[Row], how: Sampling) -> list[Row]:
    plan = GenerationConfig(  # type: ignore[no-untyped-call]
        do_sample=False,
        num_beams=1,
        repetition_penalty=1.0,
        max_new_tokens=rows[0].most,
        eos_token_id=list(how.stop) or None,
        pad_token_id=how.stop[0] if how.stop else 0,
    )
    tokens = torch.tensor([list(prompt.ids)] * len(rows), device=model.device)
    keyed = Keyed(prompt, rows, how)
    model.generate(
        tokens,
        attention_mask=torch.ones_like(tokens),
        generation_config=plan,
        logits_processor=LogitsProcessorList([keyed]),
    )
    return rows


class Keyed(LogitsProcessor):
    """Chooses each next token by keyed noise, writes it down, and leaves `generate` no other."""

    def __init__(self, prompt: Prompt, rows: Sequence[Row], how: Sampling) -> None:
        self.rows, self.how, self.key = rows, how, prompt.noise_key(how.seed)
        self.begun = len(prompt.ids)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Return scores that are 0 for the chosen tokens, and -inf for all others."""

        def each(value: Any) -> Tensor:
            return torch.tensor([value] * len(self.rows), device=scores.device)

        samples = torch.tensor([row.sample for row in self.rows], device=scores.device)
        place = input_ids.shape[1] - self.begun
        tokens, logps = choose(scores, self.how, each(self.key), samples, each(place))
        for row, token, logp in zip(self.rows, tokens.tolist(), logps.tolist(), strict=True):
            if not row.ended:
                row.add(token, logp, self.how.stop)
        return torch.full_like(scores, -torch.inf).scatter(1, tokens[:, None], 0.0)
