"""A language model behind an OpenAI-compatible server, asked about many lists at once."""

import math
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from alignlab.errors import ConfigError, RunError
from alignlab.http_json import Endpoint
from alignlab.judges.kept import PASSING
from alignlab.judges.llm.asking import Question
from alignlab.judges.llm.backend import Chosen, Unanswered, chosen

T = TypeVar("T")
TOP = 20
"""The number of likeliest first tokens that servers tell; labels that are not among them count as 0."""
ROUTE = "/v1/chat/completions"
OF_ONE_LIST = (400, 413, 422)
"""The answers of a server that say something of what it was asked, such as that it is too long."""


class ServedModel:
    """Answers by a chat completion a question, at most `concurrent` at a time; `name` is the model's at the server."""

    def __init__(self, endpoint: Endpoint, name: str, *, max_tokens: int, concurrent: int) -> None:
        self.endpoint, self.name, self.max_tokens, self.concurrent = endpoint, name, max_tokens, concurrent
        self.identity = f"{name} at {endpoint.url}"

    def choose(self, questions: Sequence[Question]) -> list[Chosen | Unanswered]:
        """Return the probabilities of labels by the log-probabilities that the server tells of the first token.

        Raises ConfigError where it refuses to tell any, as `transformers serve` does, or answers without them: nothing
        is made up in their place.
        """
        settings = {"max_tokens": 1, "logprobs": True, "top_logprobs": TOP}
        return self._all(
            questions, settings, lambda question, choice: _shares(question, choice, self.endpoint.url)
        )

    def write(self, questions: Sequence[Question]) -> list[str | Unanswered]:
        """Return the greedy answers; one that was cut at the largest length has not said its verdict."""
        return self._all(questions, {"max_tokens": self.max_tokens}, lambda question, choice: _text(choice))

    def _all(
        self,
        questions: Sequence[Question],
        settings: dict[str, Any],
        read: Callable[[Question, Any], T | Unanswered],
    ) -> list[T | Unanswered]:
        def answer(question: Question) -> T | Unanswered:
            turns = [{"role": "user", "content": question.text}]
            body = {"model": self.name, "messages": turns, "temperature": 0, **settings}
            try:
                answered = self.endpoint.post(ROUTE, body)
            except RunError as error:
                return _failure(str(error))
            try:
                choice = answered["choices"][0]
            except (TypeError, KeyError, IndexError):
                return Unanswered("an answer without choices")
            return read(question, choice)

        with ThreadPoolExecutor(self.concurrent) as pool:
            return [*pool.map(answer, questions)]


def _failure(said: str) -> Unanswered:
    """What an error of the server means for one question; raises ConfigError for what no question would escape."""
    status = re.search(r"status (\d+)", said)
    code = int(status[1]) if status else 0
    if code in OF_ONE_LIST and "logprobs" in said:
        raise ConfigError(
            f"judge.url: {said}: it tells no log-probabilities, so that there is no probability of a verdict: "
            "judge.verdict=text reads written answers"
        )
    if code in OF_ONE_LIST:
        return Unanswered(f"refused by the server (status {code})")
    if 400 <= code < 500 and code not in (408, 429):
        raise ConfigError(f"judge.url: {said}")
    if code:
        return Unanswered(f"{PASSING}: status {code}")
    return Unanswered(f"{PASSING}: {'time-out' if 'did not answer within' in said else 'no connection'}")


def _shares(question: Question, choice: Any, url: str) -> Chosen | Unanswered:
    try:
        tokens = choice["logprobs"]["content"][0]["top_logprobs"]
        likeliest = [(str(one["token"]).strip(), float(one["logprob"])) for one in tokens]
    except (TypeError, KeyError, IndexError, ValueError):
        likeliest = []
    if not likeliest or not all(-math.inf <= logp <= 1e-3 for _, logp in likeliest):
        raise ConfigError(
            f"judge.url={url} answers without the log-probabilities that it was asked for, so that there is no "
            "probability of a verdict: judge.verdict=text reads written answers"
        )
    of_label = [sum(math.exp(logp) for text, logp in likeliest if text == label) for label in question.labels]
    return chosen(of_label)


def _text(choice: Any) -> str | Unanswered:
    message = choice.get("message") if isinstance(choice, dict) else None
    content = message.get("content") if isinstance(message, dict) else None
    return content if isinstance(content, str) else Unanswered("an answer without text")
