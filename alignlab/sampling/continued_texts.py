"""Responses that a model of a folder goes on with from a beginning, as text."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from alignlab.errors import ConfigError
from alignlab.policies.causal_lm.model import CausalLM
from alignlab.policies.load import LoadedPolicy, load_policy
from alignlab.sampling.in_process import InProcess
from alignlab.sampling.rollout import Prompt
from alignlab.sampling.settings import Sampling
from alignlab.types import Example, Message


@dataclass(frozen=True)
class Begun:
    """A response that is begun; an empty beginning is a response to be written whole."""

    id: str
    """What keys the noise of its tokens."""
    prompt: list[Message]
    beginning: str = ""


class Writer:
    """The language model of a `model/` folder, which goes on with responses; `key` is its setting, for messages.

    Raises ConfigError where the folder is none, or holds another model.
    """

    def __init__(self, folder: str | None, key: str) -> None:
        if folder is None:
            raise ConfigError(f"{key} is missing: name the model/ folder of a run, or of a language model")
        path = Path(folder).expanduser()
        if not path.is_dir():
            raise ConfigError(f"{key}={folder}: there is no such folder; give the model/ of a run")
        self.loaded: LoadedPolicy = load_policy(path)
        if not isinstance(self.loaded.policy, CausalLM):
            raise ConfigError(f"{key}={folder}: it holds no language model, and writes no text")
        self.loaded.policy.to("cuda" if torch.cuda.is_available() else "cpu").eval()
        model = self.loaded.policy.model
        self.sampler = InProcess(model, sorted(self.loaded.encoder.stops))
        self.most: int | None = getattr(model.config.get_text_config(), "max_position_embeddings", None)

    def __call__(self, begun: Sequence[Begun], how: Sampling) -> list[str | None]:
        """Return each response with its beginning; None where the model's context has no room for one token more."""
        asked = [Example(one.prompt, [one.beginning], [0.0], id=one.id) for one in begun]
        before, prompts = [], []
        for one, tokens in zip(begun, self.loaded.encoder(asked), strict=True):
            before.append(tokens.responses[0][:-1] if one.beginning else [])
            prompts.append(Prompt(one.id, [*tokens.prompt, *before[-1]]))
        fits = [self.most is None or len(prompt.ids) < self.most for prompt in prompts]
        fit = [prompt for prompt, is_fit in zip(prompts, fits, strict=True) if is_fit]
        drawn = iter(self.sampler.draw(fit, 1, how))
        return [
            self._text(one.beginning, ids, next(drawn).responses[0].tolist()) if is_fit else None
            for one, ids, is_fit in zip(begun, before, fits, strict=True)
        ]

    def _text(self, beginning: str, before: list[int], drawn: list[int]) -> str:
        """The beginning as it was given, with what was drawn; both are decoded together, as they may share a blank."""
        shown = [
            self.loaded.tokenizer.decode(ids, skip_special_tokens=True) for ids in (before, before + drawn)
        ]
        return beginning + str(shown[1])[len(str(shown[0])) :]
