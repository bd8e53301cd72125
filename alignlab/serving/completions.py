"""Responses to a prompt of token ids: /v1/completions in the form of OpenAI's, with the additions that vLLM made."""

import secrets
import time
import uuid
from collections.abc import Sequence
from typing import Annotated, Any, Literal, NamedTuple

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel, ConfigDict, Field

from alignlab.errors import ConfigError
from alignlab.sampling.in_process import InProcess
from alignlab.sampling.rollout import Prompt, Rollout
from alignlab.sampling.server import key_of_seed
from alignlab.sampling.settings import Sampling
from alignlab.serving.app import Desk

Token = Annotated[int, Field(ge=0, strict=True)]
Nothing = Annotated[float, Field(ge=0, le=0)]


class CompletionRequest(BaseModel):
    """A request for completions; settings that would do something else than is done here have one value alone."""

    model_config = ConfigDict(extra="forbid")

    prompt: str | Annotated[list[Token], Field(min_length=1)]
    model: str | None = None
    n: Annotated[int, Field(ge=1, le=1000)] = 1
    max_tokens: Annotated[int, Field(ge=1, le=10**6)] = 16
    temperature: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    top_k: Annotated[int, Field(ge=-1)] = 0
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    stop_token_ids: list[Token] = Field(default_factory=list)
    logprobs: Annotated[int, Field(ge=0, le=0)] | None = None
    return_token_ids: bool = False
    user: str | None = None
    min_p: Nothing = 0.0
    presence_penalty: Nothing = 0.0
    frequency_penalty: Nothing = 0.0
    repetition_penalty: Annotated[float, Field(ge=1, le=1)] = 1.0
    echo: Literal[False] = False
    stream: Literal[False] = False

    def sampling(self, stops: Sequence[int]) -> Sampling:
        """Return how is drawn: responses end with the model's own ends and with those of the request."""
        greedy = self.temperature == 0
        return Sampling(
            temperature=1.0 if greedy else self.temperature,
            top_p=1.0 if greedy else self.top_p,
            top_k=0 if greedy else max(0, self.top_k),
            max_new_tokens=self.max_tokens,
            stop=tuple(sorted({*stops, *self.stop_token_ids})),
            decoder="greedy" if greedy else "sample",
        )


class Kind(NamedTuple):
    """What requests have in common that are drawn together."""

    how: Sampling
    n: int


class Drawing:
    """A sampler whose draws go to those who asked for them."""

    def __init__(self, sampler: InProcess, tokenizer: Any, length: int | None) -> None:
        self.sampler, self.tokenizer, self.length = sampler, tokenizer, length
        self.version = "0"
        """The version of the weights, as who sends them names it."""

    def __call__(self, asked: Sequence[tuple[Prompt, Kind]]) -> list[tuple[Rollout, str]]:
        """Draw for requests of one kind together; gives each its rollout and the version it was drawn from."""
        prompts, (how, n) = [prompt for prompt, _ in asked], asked[0][1]
        return [(rollout, self.version) for rollout in self.sampler.draw(prompts, n, how)]

    def prompt(self, request: CompletionRequest) -> Prompt:
        """Return the prompt of a request, whose seed is the key of its noise.

        Raises ConfigError for one that leaves no room, or has ids beyond the vocabulary.
        """
        ids: list[int] = (
            self.tokenizer(request.prompt)["input_ids"] if isinstance(request.prompt, str) else request.prompt
        )
        size = self.sampler.model.config.get_text_config().vocab_size
        if not ids or max(ids) >= size:
            raise ConfigError(f"prompt: expected one token or more, by ids below {size}")
        if self.length is not None and len(ids) >= self.length:
            raise ConfigError(
                f"prompt: {len(ids)} tokens leave no room in the model's context of {self.length}"
            )
        seed = secrets.randbits(63) if request.seed is None else request.seed
        return Prompt(f"request of {len(ids)} tokens", ids, key_of_seed(seed))


def routes(desk: Desk, drawing: Drawing) -> APIRouter:
    """Return the route that draws."""
    router = APIRouter()

    @router.post("/v1/completions")
    async def completions(request: CompletionRequest) -> dict[str, Any]:
        desk.require_name(request.model)
        try:
            how, prompt = request.sampling(drawing.sampler.stop), drawing.prompt(request)
        except ConfigError as error:
            raise HTTPException(400, str(error)) from None
        kind = Kind(how, request.n)
        rollout, version = await desk.ask((prompt, kind), kind)
        drawn = sum(map(len, rollout.responses))
        return {
            "id": f"cmpl-{uuid.uuid4().hex}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": desk.name,
            "weight_version": version,
            "choices": [_choice(rollout, k, request, drawing.tokenizer) for k in range(request.n)],
            "usage": {
                "prompt_tokens": len(prompt.ids),
                "completion_tokens": drawn,
                "total_tokens": len(prompt.ids) + drawn,
            },
        }

    return router


def _choice(rollout: Rollout, number: int, request: CompletionRequest, tokenizer: Any) -> dict[str, Any]:
    ids = rollout.responses[number].tolist()
    choice: dict[str, Any] = {
        "index": number,
        "text": str(tokenizer.decode(ids, skip_special_tokens=True)),
        "finish_reason": "stop" if rollout.finished[number] else "length",
        "logprobs": None,
    }
    if request.logprobs is not None:
        logps = [float(logp) for logp in rollout.token_logps[number]]
        choice["logprobs"] = {"token_logprobs": logps, "tokens": [f"token_id:{token}" for token in ids]}
    if request.return_token_ids:
        choice |= {"token_ids": ids, "prompt_token_ids": rollout.prompt_ids.tolist()}
    return choice
