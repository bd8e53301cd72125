"""What alignment is after: the exact reward of a policy's own samples, against its KL divergence."""

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from alignlab.data.encoding.tokenize import Encoder
from alignlab.metrics.preference import k3
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
    Without a reference the model is its own. Draws no random numbers from the caller's generator.
    """
    rows = [prompt for prompt in prompts for _ in range(samples_per_prompt)]
    samples: list[Sample] = []
    with torch.no_grad(), _evaluating(model, reference), _seeded(seed, model.device):
        for start in range(0, len(rows), batch_size):
            chunk = rows[start : start + batch_size]
            tokens, mask = _encode(tokenizer, chunk, model.device)
            drawn = _draw(model, tokenizer, tokens, mask, max_new_tokens, temperature)
            where = _until_end(drawn, tokenizer.eos_token_id)
            ratios = _ratios(model, reference, tokens, mask, drawn, where)
            sums = zip(ratios.sum(1).tolist(), k3(ratios).sum(1).tolist(), strict=True)
            for prompt, ids, real, (k1, of_k3) in zip(chunk, drawn, where, sums, strict=True):
                asked = "\n".join(message["content"] for message in prompt)
                text = str(tokenizer.decode(ids[real], skip_special_tokens=True))
                worth, aspects = _worth(reward(asked, text))
                samples.append(Sample(asked, text, worth, k1, int(real.sum()), of_k3, aspects))
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


def _worth(found: Any) -> tuple[float, dict[str, float]]:
    """Reward and aspects."""
    if isinstance(found, (int, float)):
        return found, {}
    aspects = {name: float(value) for name, value in asdict(found).items() if name != "length"}
    return aspects.pop("reward"), aspects


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


@contextmanager
def _evaluating(*models: PreTrainedModel | None) -> Iterator[None]:
    """Dropout off, and every model back in its own mode afterwards."""
    modes = [(model, model.training) for model in models if model is not None]
    for model, _ in modes:
        model.train(False)
    try:
        yield
    finally:
        for model, mode in modes:
            model.train(mode)


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def _encode(
    tokenizer: PreTrainedTokenizerBase, prompts: Sequence[list[Message]], device: torch.device
) -> tuple[Int[Tensor, "N L"], Int[Tensor, "N L"]]:
    """Prompt tokens, padded on the left, and their attention mask."""
    encoder = Encoder(tokenizer)
    rows = [encoder.prompt_ids(prompt) for prompt in prompts]
    length = max(map(len, rows))
    filler = _pad(tokenizer)
    tokens = torch.tensor([[filler] * (length - len(row)) + row for row in rows], device=device)
    mask = torch.tensor([[0] * (length - len(row)) + [1] * len(row) for row in rows], device=device)
    return tokens, mask


def _pad(tokenizer: PreTrainedTokenizerBase) -> int:
    pad, end = tokenizer.pad_token_id, tokenizer.eos_token_id
    return int(end if pad is None else pad)


def _draw(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    tokens: Int[Tensor, "N L"],
    mask: Int[Tensor, "N L"],
    max_new_tokens: int,
    temperature: float,
) -> Int[Tensor, "N R"]:
    """Responses from the whole distribution: no top-k, no nucleus, no penalty of the model's own."""
    plan = GenerationConfig(  # type: ignore[no-untyped-call]
        do_sample=True,
        temperature=temperature,
        top_k=0,
        top_p=1.0,
        repetition_penalty=1.0,
        max_new_tokens=max_new_tokens,
        pad_token_id=_pad(tokenizer),
        eos_token_id=tokenizer.eos_token_id,
    )
    out = model.generate(tokens, attention_mask=mask, generation_config=plan)  # type: ignore[operator]
    return out[:, tokens.shape[1] :]


def _until_end(drawn: Int[Tensor, "N R"], end: int) -> Bool[Tensor, "N R"]:
    """True up to and with the first end-of-sequence token."""
    ends = (drawn == end).long()
    return ends.cumsum(1) - ends == 0


def _ratios(
    model: PreTrainedModel,
    reference: PreTrainedModel | None,
    tokens: Int[Tensor, "N L"],
    mask: Int[Tensor, "N L"],
    drawn: Int[Tensor, "N R"],
    where: Bool[Tensor, "N R"],
) -> Float[Tensor, "N R"]:
    """log(model / reference) of every response token; 0 after the end."""
    if reference is None:
        return torch.zeros(drawn.shape, device=drawn.device)
    mask = torch.cat([mask, where.long()], 1)
    tokens = torch.cat([tokens, drawn], 1)
    ours = _token_logps(model, tokens, mask, drawn)
    theirs = _token_logps(reference, tokens, mask, drawn).to(ours.device)
    return (ours - theirs) * where


def _token_logps(
    model: PreTrainedModel,
    tokens: Int[Tensor, "N S"],
    mask: Int[Tensor, "N S"],
    drawn: Int[Tensor, "N R"],
) -> Float[Tensor, "N R"]:
    length = drawn.shape[1]
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    inputs = {"input_ids": tokens, "attention_mask": mask, "position_ids": positions}
    inputs = {name: value.to(model.device) for name, value in inputs.items()}
    logits = model(**inputs, use_cache=False, logits_to_keep=length + 1).logits[:, :-1]
    logps = logits.float().log_softmax(-1)
    return logps.gather(-1, drawn.to(logps.device).unsqueeze(-1)).squeeze(-1)
