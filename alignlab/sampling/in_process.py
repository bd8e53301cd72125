"""The sampler in the process of the training: every prompt is read once, and rows that end make room for the next."""

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from typing import Annotated, Any

import numpy as np
import torch

from alignlab.errors import ConfigError, RunError
from alignlab.policies.causal_lm.decoder import unwrapped
from alignlab.policies.weights import weights_hash
from alignlab.sampling.by_generate import by_generate
from alignlab.sampling.context import Reader
from alignlab.sampling.loop import continued
from alignlab.sampling.rollout import Prompt, Rollout, Row
from alignlab.sampling.settings import Sampling
from alignlab.sampling.trial import fault_of, require_whole
from alignlab.settings import whole

log = logging.getLogger(__name__)


class InProcess:
    """Draws responses from a language model that is in this process, on one device.

    What is drawn depends on the weights, the prompt, its id, the number of the sample and the settings, and on nothing
    that is drawn beside it (but for the rounding of sums, which other numbers of rows may do in another order). No
    random numbers of the caller's are drawn. `stop` are the tokens that end a response unless the settings name others.

    Raises ConfigError for a model without a head over the vocabulary, or with weights that are spread over ranks.
    """

    def __init__(
        self,
        model: Any,
        stop: Sequence[int],
        *,
        rows: Annotated[int, whole(1, 10_000)] = 64,
        version: int = 0,
    ) -> None:
        self.model, self.stop, self.rows, self.version = model, tuple(stop), rows, version
        if unwrapped(model).get_output_embeddings() is None:
            raise ConfigError(
                f"{type(model).__name__} has no head over a vocabulary, so that it draws no text"
            )
        require_whole(model)

    @cached_property
    def reader(self) -> Reader | None:
        """The model as what goes on from a cache, where that is exact; None where transformers generates."""
        with torch.no_grad(), evaluating(self.model):
            fault = fault_of(self.model)
        if fault:
            log.info(
                "samples: %s generates through transformers, prompt by prompt, as a shared cache does not serve (%s)",
                type(unwrapped(self.model)).__name__,
                fault,
            )
            return None
        return Reader(self.model)

    def weights(self) -> str:
        """Return a name of the weights drawn from: their hash."""
        return f"weights {weights_hash(self.model)[:16]}"

    def sync(self, version: int) -> None:
        """Say that the weights, which are read where they lie, have seen so many optimizer steps."""
        self.version = version

    def draw(
        self,
        prompts: Sequence[Prompt],
        n: int,
        how: Sampling,
        *,
        tell: Callable[[Rollout], None] = lambda rollout: None,
    ) -> list[Rollout]:
        """Draw `n` responses for each prompt, in the order of the prompts; `tell` gets each as soon as it is there.

        Raises ConfigError for prompts that leave no room, and RunError where the model gives no probabilities.
        """
        how = how if how.stop else replace(how, stop=self.stop)
        rows = self._rows(prompts, n, how)
        rollouts: list[Rollout] = []
        with torch.no_grad(), evaluating(self.model):
            drawn = self._drawn(prompts, rows, how)
            waiting: dict[int, list[Row]] = {}
            for row in drawn:
                waiting.setdefault(row.prompt, []).append(row)
                while len(ready := waiting.get(len(rollouts), [])) == n:
                    rollouts.append(self._rollout(prompts[len(rollouts)], ready, how))
                    tell(rollouts[-1])
        return rollouts

    def _rows(self, prompts: Sequence[Prompt], n: int, how: Sampling) -> list[Row]:
        length = getattr(self.model.config.get_text_config(), "max_position_embeddings", None) or math.inf
        for prompt in prompts:
            if not len(prompt.ids):
                raise ConfigError(f"prompt {prompt.id}: it has no tokens, so there is nothing to go on from")
            if len(prompt.ids) >= length:
                raise ConfigError(
                    f"prompt {prompt.id} has {len(prompt.ids)} tokens, and the model's context is {length}: shorten "
                    "it, or leave it out"
                )
        return [
            Row(number, sample, int(min(how.max_new_tokens, length - len(prompt.ids))))
            for number, prompt in enumerate(prompts)
            for sample in range(n)
        ]

    def _drawn(self, prompts: Sequence[Prompt], rows: Sequence[Row], how: Sampling) -> Iterator[Row]:
        if self.reader is not None:
            return continued(self.reader, prompts, rows, how, self.rows)
        return by_generate(self.model, prompts, rows, how, self.rows)

    def _rollout(self, prompt: Prompt, rows: Sequence[Row], how: Sampling) -> Rollout:
        rows = sorted(rows, key=lambda row: row.sample)
        if not all(map(math.isfinite, (logp for row in rows for logp in row.logps))):
            raise RunError(f"prompt {prompt.id}: the model gives no probabilities there (NaN in its logits)")
        return Rollout(
            id=prompt.id,
            prompt_ids=np.asarray(prompt.ids, dtype=np.int64),
            responses=tuple(np.asarray(row.tokens, dtype=np.int64) for row in rows),
            token_logps=tuple(np.asarray(row.logps, dtype=np.float32) for row in rows),
            finished=tuple(row.finished for row in rows),
            version=self.version,
            sampler=f"in process: {how.name}",
        )


@contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """Have dropout off, and the model back in its own mode afterwards."""
    mode = model.training
    model.train(False)
    try:
        yield
    finally:
        model.train(mode)
