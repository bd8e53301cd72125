"""Samples of a run to be read by people: the same prompts answered before and after, where no reward scores them."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from alignlab import ranks
from alignlab.data.encoding.id_turns import ids_in
from alignlab.sampling.in_process import InProcess
from alignlab.sampling.rollout import Prompt, Rollout
from alignlab.sampling.settings import Sampling
from alignlab.training.opened import Prepared, first

log = logging.getLogger(__name__)


def answers(ready: Prepared, model: Any) -> list[Rollout]:
    """What a model answers to the first validation prompts, read as the training reads them; drawn by the first rank.

    None of a stage with a reward, whose samples are scored, and of one whose weights are spread over ranks.
    """
    opened, spec = ready.opened, ready.opened.stage.shown
    if spec is None or not ranks.main():
        return []
    if opened.stage.engine.shards:
        log.info(
            "samples: none are drawn, as the weights are spread over ranks; alignlab generate run=<folder> does"
        )
        return []
    rows = opened.splits.validation
    asked = enumerate(first(rows, spec.prompts))
    prompts = [Prompt(str(place), rows.prompts[i].tolist()) for place, i in asked]
    how = Sampling(max_new_tokens=spec.max_new_tokens, seed=spec.seed)
    with opened.clock.timed("evaluation"):
        sampler = InProcess(model, sorted(opened.encoder.stops))
        return sampler.draw(prompts, spec.samples_per_prompt, how)


def beside(ready: Prepared, before: Sequence[Rollout], after: Sequence[Rollout]) -> list[Mapping[str, Any]]:
    """Samples of the same prompts before and after training, as texts."""

    def text(ids: Any) -> str:
        return str(ready.opened.tokenizer.decode(ids, skip_special_tokens=True))

    asked = first(ready.opened.splits.validation, len(before))
    return [
        {"prompt": _prompt(ready, i) or text(old.prompt_ids), "before": text(was), "after": text(now)}
        for i, old, new in zip(asked, before, after, strict=True)
        for was, now in zip(old.responses, new.responses, strict=True)
    ]


def _prompt(ready: Prepared, index: int) -> str:
    """The contents of the turns of a row's prompt, a line each; nothing for one of token ids."""
    messages = ready.opened.splits.validation.messages(index)
    return (
        "" if ids_in(messages) is not None else "\n".join(str(turn.get("content") or "") for turn in messages)
    )
