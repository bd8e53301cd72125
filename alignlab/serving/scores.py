"""Values of responses: /v1/score as vLLM has it, and /get_reward as OpenRLHF asks a remote reward model."""

import time
import uuid
from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException
from pydantic import AliasChoices, BaseModel, ConfigDict, Field
from torch import Tensor

from alignlab.data.encoding.tokenize import Tokens
from alignlab.errors import DataError
from alignlab.policies.load import LoadedPolicy
from alignlab.serving.app import Desk
from alignlab.types import Example, Message


class Turn(BaseModel):
    """One turn of a conversation, with what else the chat template reads of it."""

    model_config = ConfigDict(extra="allow")

    role: str
    content: str


Turns = Annotated[list[Turn], Field(min_length=1)]
ManyTexts = Annotated[list[str], Field(min_length=1, max_length=4096)]


class ScoreRequest(BaseModel):
    """The responses to one prompt, a text or turns; `user` is whose values are asked for, of a user model."""

    model_config = ConfigDict(extra="forbid")

    model: str | None = None
    prompt: str | Turns = Field(validation_alias=AliasChoices("text_1", "queries"))
    responses: str | ManyTexts = Field(validation_alias=AliasChoices("text_2", "documents"))
    user: str | None = None


class RewardRequest(BaseModel):
    """Texts as they were drawn, each a prompt with its response and all special tokens; `labels` are not read."""

    model_config = ConfigDict(extra="forbid")

    query: ManyTexts
    prompts: list[str] | None = None
    labels: list[Any] | None = None


Lists = list[tuple[Tokens, Example]]


class Scoring:
    """A policy that gives values or preferences, and what is read of it for the lists of requests."""

    def __init__(self, policy: LoadedPolicy, length: int | None) -> None:
        self.policy, self.length = policy, length
        self.gives, self.reads_users = policy.policy.provides, policy.policy.reads_users
        first = Example([{"role": "user", "content": "Hello"}], ["Hello"], [0.0], id="first")
        policy.encoder(
            [first]
        )  # its template is tried in a process forked from this one, before there are threads

    def __call__(self, requests: Sequence[Callable[[], Lists]]) -> list[list[dict[str, Tensor]]]:
        """Encode the lists of requests, score all of them together, and return the signals of each."""
        asked = [encoded() for encoded in requests]
        flat = [one for lists in asked for one in lists]
        scores = iter(self.policy.scores([tokens for tokens, _ in flat], [example for _, example in flat]))
        return [[next(scores) for _ in lists] for lists in asked]

    def encoded(self, prompt: str | list[Message], responses: Sequence[str], user: str | None) -> Lists:
        """Return responses to a prompt as token ids; raises DataError for a list that is none, or too long."""
        turns = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
        meta = {} if user is None else {"user": user}
        example = Example(turns, [*responses], [0.0] * len(responses), id="request", meta=meta)
        (tokens,) = self.policy.encoder([example])
        return [(self._fitting(tokens), example)]

    def as_drawn(self, queries: Sequence[str], prompts: Sequence[str] | None) -> Lists:
        """Return texts as lists of one response; without its prompt, the last token of a text is the response."""
        lists = []
        for number, query in enumerate(queries):
            prompt = "" if prompts is None else prompts[number]
            if not query.startswith(prompt):
                raise DataError(f"query {number} does not begin with its prompt")
            before, ids = self._ids(prompt), self._ids(query[len(prompt) :])
            if not ids:
                raise DataError(f"query {number} has no tokens (behind its prompt)")
            if prompts is None:
                before, ids = ids[:-1], ids[-1:]
            example = Example([], [""], [0.0], id=f"request-{number}")
            lists.append((self._fitting(Tokens([before], [ids])), example))
        return lists

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self.policy.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def _fitting(self, tokens: Tokens) -> Tokens:
        longest = len(tokens.prompt) + max(map(len, tokens.responses))
        if self.length is not None and longest > self.length:
            raise DataError(f"{longest} tokens are more than the model's context of {self.length}")
        return tokens


def routes(desk: Desk, scoring: Scoring) -> APIRouter:
    """Return the routes that give scores of a policy."""
    router = APIRouter()

    @router.post("/v1/score")
    @router.post("/score")
    async def score(request: ScoreRequest) -> dict[str, Any]:
        desk.require_name(request.model)
        texts = [request.responses] if isinstance(request.responses, str) else request.responses
        if scoring.reads_users != (request.user is not None):
            need = "needs the `user` whose values are asked for" if scoring.reads_users else "knows no users"
            raise HTTPException(400, f"user: this model {need}")
        if "values" not in scoring.gives and len(texts) < 2:
            raise HTTPException(400, "documents: this model compares responses: give two or more")
        asked = (
            request.prompt if isinstance(request.prompt, str) else [t.model_dump() for t in request.prompt]
        )
        (signals,) = await desk.ask(partial(scoring.encoded, asked, texts, request.user))
        scores = enumerate(_scores(signals))
        answer = {
            "id": f"score-{uuid.uuid4().hex}",
            "object": "list",
            "created": int(time.time()),
            "model": desk.name,
            "data": [{"index": index, "object": "score", "score": value} for index, value in scores],
        }
        tables = {"preferences", "attribute_values", "class_logits"} & signals.keys()
        return answer | {name: signals[name].tolist() for name in sorted(tables)}

    @router.post("/get_reward")
    async def get_reward(request: RewardRequest) -> dict[str, Any]:
        if "values" not in scoring.gives or scoring.reads_users:
            raise HTTPException(400, "this model gives no reward of a lone text: ask /v1/score")
        if request.prompts is None and scoring.gives & {"preferences", "attribute_values"}:
            raise HTTPException(400, "prompts: this model reads a prompt by itself: give that of each query")
        if request.prompts is not None and len(request.prompts) != len(request.query):
            counts = f"{len(request.prompts)} for {len(request.query)} of query"
            raise HTTPException(400, f"prompts: {counts}: expected one for each")
        signals = await desk.ask(partial(scoring.as_drawn, request.query, request.prompts))
        rewards = [float(one["values"][0]) for one in signals]
        return {"rewards": rewards, "scores": rewards, "extra_logs": {}}

    return router


def _scores(signals: dict[str, Tensor]) -> list[float]:
    """A number for each response: its value, or the mean of its preferences over the others."""
    if "values" in signals:
        return [float(value) for value in signals["values"]]
    table = signals["preferences"]
    return [float(value) for value in table.sum(-1) / (len(table) - 1)]
