"""The reward of samples, before and after training."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from alignlab.data.encoding.tokenize import Encoder
from alignlab.evaluation.gold import GoldReport, evaluate, win_rate
from alignlab.training.settings import GoldSpec
from alignlab.training.spec import Stage
from alignlab.types import Message


def measure(
    spec: GoldSpec, model: Any, reference: Any | None, encoder: Encoder, prompts: Sequence[list[Message]]
) -> GoldReport:
    """Sample answers to the first `spec.prompts` prompts and score them; their KL is to `reference`, or 0 without."""
    return evaluate(
        model,
        reference,
        encoder.tokenizer,
        prompts[: spec.prompts],
        reward=spec.reward,
        seed=spec.seed,
        samples_per_prompt=spec.samples_per_prompt,
        max_new_tokens=spec.max_new_tokens,
    )


def initial_model(stage: Stage, device: torch.device) -> Any | None:
    """The model that the run began with, where this stage begins with another."""
    return None if stage.load_initial is None else stage.load_initial()[0].to(device)


def against(report: GoldReport | None, base: GoldReport | None) -> dict[str, float]:
    """The metrics of a report, with how often its samples win over those of `base` at the same prompts.

    `win_rate` counts a tie one half, so it is 0.5 of a report against itself. Nothing of no report.
    """
    if report is None or base is None:
        return {}
    return {**report.metrics, **win_rate(report, base)}


def side_by_side(before: GoldReport, after: GoldReport) -> list[Mapping[str, Any]]:
    """Samples of the same prompts before and after training."""
    return [
        {"prompt": old.prompt, "before": old.response, "reward_before": old.reward}
        | {"after": new.response, "reward_after": new.reward}
        for old, new in zip(before.samples, after.samples, strict=True)
    ]
