"""Responses drawn by a server that speaks OpenAI's completions with token ids, as vLLM and `alignlab serve` do."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property
from typing import Annotated, Any, NamedTuple

import numpy as np

from alignlab.errors import ConfigError
from alignlab.http_json import Endpoint
from alignlab.sampling.answers import drawn_of
from alignlab.sampling.rollout import Prompt, Rollout
from alignlab.sampling.settings import Sampling
from alignlab.settings import Count, PositiveNumber, Text, whole

PATH = "/v1/completions"
COLD = 0.01
"""A temperature at which the likeliest token has all the probability."""
NEUTRAL = {"min_p": 0.0, "repetition_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0}
"""Settings of servers that would draw from another distribution; a server may have other defaults."""


class Served(NamedTuple):
    """What a server says of its model."""

    name: str
    length: int | None
    """The largest number of tokens of a prompt with its response; None where the server does not say."""


class Server:
    """Draws responses from the model of a server, a request a prompt, with `at_once` of them under way.

    The model of the server is what it is: `sync` takes no other weights. The noise of a prompt goes to the server as
    its seed (64 bits), so that `alignlab serve` draws what the sampler in the process would draw, and other servers
    draw the same again if they keep to their seeds. `timeout` is the seconds of a request with all its tries; a server
    that is busy or fails is asked up to `retries` times more. `name` is the model among several of the server,
    `key_env` the environment variable that holds its key.
    """

    def __init__(
        self,
        model: Any,
        stop: Sequence[int],
        *,
        url: Text,
        name: Text | None = None,
        timeout: PositiveNumber = 600.0,
        retries: Count = 4,
        at_once: Annotated[int, whole(1, 1024)] = 32,
        key_env: Text | None = None,
    ) -> None:
        self.stop, self.name, self.at_once, self.version = tuple(stop), name, at_once, 0
        self.endpoint = Endpoint(url, timeout=timeout, retries=retries, key_env=key_env)

    @cached_property
    def served(self) -> Served:
        """The model that the server has; raises ConfigError where it has several, or not the one named."""
        answer = self.endpoint.get("/v1/models")
        models = answer.get("data") if isinstance(answer, dict) else None
        by_name = {one["id"]: one for one in models or () if isinstance(one, dict) and "id" in one}
        names = ", ".join(by_name) or "none"
        if self.name is None and len(by_name) != 1:
            raise ConfigError(
                f"{self.endpoint.url} has several models, or none: set generator.name ({names})"
            )
        name = self.name or next(iter(by_name))
        if name not in by_name:
            raise ConfigError(f"{self.endpoint.url} has no model {name}; it has {names}")
        return Served(name, by_name[name].get("max_model_len"))

    def weights(self) -> str:
        """Return a name of the weights drawn from: that of the server's model."""
        return f"model {self.served.name} of {self.endpoint.url}"

    def sync(self, version: int) -> None:
        """Raise ConfigError: a server of this kind keeps its model."""
        raise ConfigError(
            "generator=server draws from the model that the server has, and takes no weights of a training: use "
            "generator=vllm (vLLM, or alignlab serve updates=true) or generator=inprocess"
        )

    def draw(
        self,
        prompts: Sequence[Prompt],
        n: int,
        how: Sampling,
        *,
        tell: Callable[[Rollout], None] = lambda rollout: None,
    ) -> list[Rollout]:
        """Draw `n` responses for each prompt, in the order of the prompts; `tell` gets each in that order.

        Raises ConfigError for what the server cannot draw, and RunError where it does not answer in time, or its answer
        lacks something. Then nothing more is asked.
        """
        how = how if how.stop else replace(how, stop=self.stop)
        if how.decoder == "contrastive":
            raise ConfigError("decoder=contrastive needs generator=inprocess: servers have no such decoder")
        most = [self._most(prompt, how) for prompt in prompts]
        if how.decoder == "sample" and (how.temperature != 1 or how.truncated) and prompts:
            self._require_own_logps(prompts[0])
        rollouts = []
        with ThreadPoolExecutor(self.at_once) as pool:
            waiting = [
                pool.submit(self._one, prompt, n, how, longest)
                for prompt, longest in zip(prompts, most, strict=True)
            ]
            try:
                for future in waiting:
                    rollouts.append(future.result())
                    tell(rollouts[-1])
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
        return rollouts

    def _most(self, prompt: Prompt, how: Sampling) -> int:
        """The largest number of tokens of a response; raises ConfigError where the prompt leaves no room."""
        if not len(prompt.ids):
            raise ConfigError(f"prompt {prompt.id}: it has no tokens, so there is nothing to go on from")
        length = self.served.length
        if length is not None and len(prompt.ids) >= length:
            raise ConfigError(
                f"prompt {prompt.id} has {len(prompt.ids)} tokens, and the server's context is {length}: shorten it, "
                "or leave it out"
            )
        return how.max_new_tokens if length is None else min(how.max_new_tokens, length - len(prompt.ids))

    def _one(self, prompt: Prompt, n: int, how: Sampling, most: int) -> Rollout:
        answer = self.endpoint.post(PATH, self._body(prompt, n, how, most))
        drawn = drawn_of(answer, prompt, n, how.stop, most, self.endpoint.url)
        self._require_version(answer)
        return Rollout(
            id=prompt.id,
            prompt_ids=np.asarray(prompt.ids, dtype=np.int64),
            responses=drawn.responses,
            token_logps=drawn.token_logps,
            finished=drawn.finished,
            version=self.version,
            sampler=f"server: {how.name}",
        )

    def _body(self, prompt: Prompt, n: int, how: Sampling, most: int) -> dict[str, Any]:
        return {
            "model": self.served.name,
            "prompt": [int(token) for token in prompt.ids],
            "n": n,
            "max_tokens": most,
            "temperature": 0.0 if how.decoder == "greedy" else how.temperature,
            "top_p": how.top_p,
            "top_k": how.top_k,
            "seed": seed_of(prompt.noise_key(how.seed)),
            "logprobs": 0,
            "return_token_ids": True,
            "stop_token_ids": [*how.stop],
            **NEUTRAL,
        }

    def _require_version(self, answer: Any) -> None:
        """Raise RunError where an answer was drawn from other weights than those that are to be drawn from."""

    def _require_own_logps(self, prompt: Prompt) -> None:
        """Raise ConfigError where log-probabilities are those before temperature and truncation.

        All but drawn without chance, tokens then have other log-probabilities than 0.
        """
        if self._tried:
            return
        how = Sampling(temperature=COLD, max_new_tokens=8, stop=self.stop)
        rollout = self._one(prompt, 1, how, self._most(prompt, how))
        if float(np.median(rollout.token_logps[0])) < -0.01:
            raise ConfigError(
                f"{self.endpoint.url} gives log-probabilities of the model, and not of the distribution that it draws "
                "from, which temperature, top_p and top_k change: start vLLM with --logprobs-mode processed_logprobs"
            )
        self._tried = True

    _tried = False


def seed_of(key: tuple[int, int]) -> int:
    """Return the two words of a key as a seed of 64 bits with a sign, as JSON and servers take it.

    >>> seed_of((1, 0)), seed_of((0xFFFFFFFF, 0xFFFFFFFF))
    (1, -1)
    """
    seed = key[0] | key[1] << 32
    return seed - 2**64 if seed >= 2**63 else seed


def key_of_seed(seed: int) -> tuple[int, int]:
    """Return the two words of the key that a seed stands for.

    >>> key_of_seed(-1) == (0xFFFFFFFF, 0xFFFFFFFF), key_of_seed(1)
    (True, (1, 0))
    """
    return seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF
