"""A model of a folder that scores responses for a judge: loaded when it is first asked, it reads lists together."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from alignlab.data.encoding.tokenize import Tokens
from alignlab.errors import ConfigError
from alignlab.judges.judge import Asked, Judged
from alignlab.policies.causal_lm.pretrained import Dtype
from alignlab.policies.load import LoadedPolicy, load_policy
from alignlab.policies.weights import weights_hash
from alignlab.sampling.in_process import evaluating
from alignlab.types import Example, Message


@dataclass(frozen=True)
class ListScores:
    """The signal of the K responses of a list, in float64, and their numbers of tokens."""

    values: Tensor
    lengths: tuple[int, ...]


class ScoringModel:
    """The model of a `model/` folder that gives one signal: `values`, `preferences` or `logps`.

    Without a folder it is the model that `bind` gives, as it is at the time of each call. `key` is the setting of the
    folder, for messages. Raises ConfigError when it is first asked, where the folder holds no model, or one that gives
    another signal.
    """

    def __init__(self, path: str | None, signal: str, key: str, dtype: Dtype = "float32") -> None:
        self.path, self.signal, self.key, self.dtype = path, signal, key, dtype
        self.bound: LoadedPolicy | None = None

    def bind(self, policy: LoadedPolicy | None) -> None:
        """Use this model where no folder was named."""
        self.bound = policy if self.path is None else None

    @property
    def policy(self) -> LoadedPolicy:
        """The model with its tokenizer."""
        return self.loaded if self.bound is None else self.bound

    @cached_property
    def loaded(self) -> LoadedPolicy:
        """The model of the folder, on the first GPU where there is one."""
        if self.path is None:
            raise ConfigError(
                f"{self.key} is missing, and there is no model of a run here: name a model/ folder"
            )
        if not Path(self.path).expanduser().is_dir():
            raise ConfigError(f"{self.key}={self.path}: there is no such folder; give the model/ of a run")
        loaded = load_policy(Path(self.path).expanduser(), dtype=self.dtype)
        if self.signal not in loaded.policy.provides:
            kind = type(loaded.policy).__name__
            raise ConfigError(
                f"{self.key}={self.path}: it holds a {kind}, which gives no {self.signal}: choose another folder"
            )
        loaded.policy.to("cuda" if torch.cuda.is_available() else "cpu")
        loaded.policy.eval()
        return loaded

    @property
    def identity(self) -> str:
        """The hash of the weights, the vocabulary and the chat template."""
        encoder, template = self.policy.encoder, str(self.policy.tokenizer.chat_template)
        parts = (weights_hash(self.policy.policy), encoder.vocabulary, template)
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]

    def __call__(
        self,
        asked: Sequence[Asked],
        *,
        before: Sequence[Sequence[Message]] | None = None,
        as_drawn: bool = False,
    ) -> list[ListScores | str]:
        """Return the scores of each list, or why it has none: its text cannot be rendered, or is too long.

        `before` are other prompts to read the responses after. With `as_drawn`, a response that was cut is scored
        without the token that would end it.
        """
        prompts = [one.prompt for one in asked] if before is None else before
        examples = [_example(one, prompt) for one, prompt in zip(asked, prompts, strict=True)]
        encoded = [one for _, chunk in self.policy.encoder.stream([examples]) for one in chunk]
        scores: list[ListScores | str] = []
        fit: list[tuple[int, Tokens]] = []
        for place, one in enumerate(encoded):
            if not isinstance(one, Tokens):
                scores.append(str(one))
                continue
            tokens = _without_ends(one, asked[place].finished) if as_drawn else one
            scores.append(trouble := self._trouble(tokens))
            if not trouble:
                fit.append((place, tokens))
        with evaluating(self.policy.policy):
            signals = self.policy.scores([tokens for _, tokens in fit], [examples[place] for place, _ in fit])
        for (place, tokens), of_list in zip(fit, signals, strict=True):
            lengths = tuple(map(len, tokens.responses))
            scores[place] = ListScores(of_list[self.signal].double().cpu(), lengths)
        return scores

    def _trouble(self, tokens: Tokens) -> str:
        if not all(tokens.responses):
            return "a response without a token"
        most = getattr(self.policy.policy.model.config.get_text_config(), "max_position_embeddings", None)
        longest = len(tokens.prompt) + max(map(len, tokens.responses))
        return f"longer than the context of the judge ({most} tokens)" if most and longest > most else ""


def rewarded(values: Tensor) -> Judged:
    """Return the rewards of a list as a verdict; those that are not finite are missing."""
    rewards = tuple(
        value if value == value and abs(value) != float("inf") else None for value in values.tolist()
    )
    return Judged(rewards=rewards, unsaid=None if any(r is not None for r in rewards) else "not finite")


def _example(asked: Asked, prompt: Sequence[Message]) -> Example:
    meta = {name: asked.meta[name] for name in ("user", "tools") if name in asked.meta}
    return Example([*prompt], [*asked.responses], [0.0] * len(asked.responses), id=asked.id, meta=meta)


def _without_ends(tokens: Tokens, finished: Sequence[bool]) -> Tokens:
    ended = finished or [True] * len(tokens.responses)
    cut = [ids if whole else ids[:-1] for ids, whole in zip(tokens.responses, ended, strict=True)]
    return replace(tokens, responses=cut)
