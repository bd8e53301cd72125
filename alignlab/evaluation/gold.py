"""What alignment is after: the exact reward of a policy's own samples, against its KL divergence."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from alignlab.data.encoding.tokenize import Encoder
from alignlab.judges.worth import lines_of, worth
from alignlab.metrics.preference import k3
from alignlab.policies.causal_lm.chat_format import stop_ids
from alignlab.sampling.in_process import InProcess
from alignlab.sampling.rollout import Prompt, Rollout
from alignlab.sampling.scored import token_logps
from alignlab.sampling.settings import Sampling
from alignlab.types import Message
from alignlab.uncertainty import Estimate, mean_over_rows


@dataclass(frozen=True, slots=True)
class Sample:
    """One drawn response; `kl` is its log-probability ratio, `kl_k3` the k3 of its tokens' ratios, in nats."""

    prompt: str
    response: str
    reward: float
    kl: float
    length: int
    """In tokens, the end-of-sequence token included."""
    kl_k3: float = 0.0
    aspects: Mapping[str, float] = field(default_factory=dict)
    """What the reward is made of, by name."""


@dataclass(frozen=True, slots=True)
class GoldReport:
    """`metrics`: `reward`, `kl` and `kl_k3` (nats per response: the k1 and k3 estimates), `length` in tokens and
    every aspect of the reward, each with the half-width `_ci` of its 95 % confidence interval; the share of
    `distinct` responses, and of distinct pairs of neighbouring words among all of them (`distinct_2`)."""

    metrics: dict[str, float]
    samples: list[Sample]
    samples_per_prompt: int = 1


def evaluate(
    model: PreTrainedModel,
    reference: PreTrainedModel | None,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[list[Message]],
    *,
    reward: Callable[[str, str], Any],
    seed: int = 0,
    samples_per_prompt: int = 1,
    max_new_tokens: int = 64,
    temperature: float = 1.0,
    batch_size: int = 64,
) -> GoldReport:
    """Sample from `model`, score every sample, and estimate KL(model || reference) from them.

    `reward` gets the contents of the prompt's turns, a line each, and the response, and gives a number, or a
    dataclass whose field `reward` is one and whose others are aspects (but for `length`: here it is in tokens).
    The KL is the mean over samples of the sum over response tokens of log(model / reference), both taken
    at temperature 1 over the full vocabulary, so it is unbiased for samples drawn at temperature 1.
    Without a reference the model is its own. Draws no random numbers from the caller's generator: the noise of a sample
    is keyed by the seed and the place of its prompt, whatever is drawn beside it, and is the same for every model.
    """
    asked = encoded(Encoder(tokenizer), prompts)
    how = Sampling(temperature=temperature, max_new_tokens=max_new_tokens, seed=seed)
    stop = {*stop_ids(model), int(tokenizer.eos_token_id)}
    rollouts = InProcess(model, sorted(stop), rows=batch_size).draw(asked, samples_per_prompt, how)
    samples: list[Sample] = []
    ratios = log_ratios(model, reference, rollouts, how)
    for prompt, rollout, of_prompt in zip(prompts, rollouts, ratios, strict=True):
        text_of_prompt = lines_of(prompt)
        for ids, ratio in zip(rollout.responses, of_prompt, strict=True):
            text = str(tokenizer.decode(ids, skip_special_tokens=True))
            value, aspects = worth(reward(text_of_prompt, text))
            sums = float(ratio.sum()), float(k3(ratio).sum())
            samples.append(Sample(text_of_prompt, text, value, sums[0], len(ids), sums[1], aspects))
    return GoldReport(summarize(samples, samples_per_prompt), samples, samples_per_prompt)


def summarize(samples: Sequence[Sample], samples_per_prompt: int = 1) -> dict[str, float]:
    """The metrics of a report; samples of one prompt follow each other and count as one draw."""
    measured = {
        "reward": [s.reward for s in samples],
        "kl": [s.kl for s in samples],
        "kl_k3": [s.kl_k3 for s in samples],
        "length": [float(s.length) for s in samples],
        **{name: [s.aspects[name] for s in samples] for name in samples[0].aspects},
    }
    metrics: dict[str, float] = {}
    for name, values in measured.items():
        estimate = _over_prompts(values, samples_per_prompt)
        metrics |= {name: estimate.value, f"{name}_ci": estimate.half}
    neighbours = [pair for s in samples for pair in pairwise(s.response.split())]
    return metrics | {
        "distinct": len({s.response for s in samples}) / len(samples),
        "distinct_2": len(set(neighbours)) / max(1, len(neighbours)),
    }


def win_rate(report: GoldReport, base: GoldReport) -> dict[str, float]:
    """`win_rate` of samples over those of `base` at the same places, a tie counting one half, and its `_ci`."""
    both = zip(report.samples, base.samples, strict=True)
    won = [0.5 * (1 + (ours.reward > other.reward) - (ours.reward < other.reward)) for ours, other in both]
    estimate = _over_prompts(won, report.samples_per_prompt)
    return {"win_rate": estimate.value, "win_rate_ci": estimate.half}


def _over_prompts(values: list[float], samples_per_prompt: int) -> Estimate:
    """The mean over prompts of the mean over a prompt's samples, which follow each other in `values`."""
    starts = range(0, len(values), samples_per_prompt)
    return mean_over_rows([statistics.fmean(values[i : i + samples_per_prompt]) for i in starts])


def encoded(encoder: Encoder, prompts: Sequence[list[Message]]) -> list[Prompt]:
    """The token ids of prompts, whose places among them key the noise of their samples."""
    return [Prompt(str(place), encoder.prompt_ids(prompt)) for place, prompt in enumerate(prompts)]


def log_ratios(
    model: PreTrainedModel, reference: PreTrainedModel | None, rollouts: Sequence[Rollout], how: Sampling
) -> list[list[Float[Tensor, "_"]]]:
    """log(model / reference) of every response token, in float64; 0 without a reference.

    What the sampler noted is the model's part where it drew from the whole distribution at temperature 1, in no less
    than float32: in lower precision a pass over whole rows and one over single tokens differ by more than they should.
    """
    if reference is None:
        return [[torch.zeros(len(ids), dtype=torch.float64) for ids in one.responses] for one in rollouts]
    exact = model.dtype in (torch.float32, torch.float64) and how.temperature == 1 and not how.truncated
    ours = [one.token_logps for one in rollouts] if exact else token_logps(model, rollouts)
    theirs = token_logps(reference, rollouts)
    return [
        [torch.from_numpy(a.astype("float64") - b.astype("float64")) for a, b in zip(*both, strict=True)]
        for both in zip(ours, theirs, strict=True)
    ]
