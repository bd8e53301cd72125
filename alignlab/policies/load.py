"""Trained policies from their folders, to score responses with in one's own code."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

from alignlab.data.batching.batches import Extras, collate
from alignlab.data.encoding.token_rows import Array, Lists, RowIds, TokenRows
from alignlab.data.encoding.tokenize import Encoder
from alignlab.errors import ConfigError
from alignlab.policies.attribute_gate import settings_of
from alignlab.policies.attribute_model import AttributeModel
from alignlab.policies.causal_lm.model import CausalLM
from alignlab.policies.causal_lm.pretrained import load
from alignlab.policies.policy import NO_REFERENCES, Policy
from alignlab.policies.preference_model import PreferenceModel
from alignlab.policies.reward_model import RewardModel
from alignlab.policies.sequence_head import is_classifier
from alignlab.policies.user_head import FILE
from alignlab.policies.user_model import UserModel
from alignlab.types import Example, Message


@dataclass(frozen=True)
class LoadedPolicy:
    """A trained policy with its tokenizer."""

    policy: Policy
    tokenizer: Any

    @torch.no_grad()
    def __call__(
        self, prompt: str | list[Message], responses: Sequence[str], *, user: str | None = None
    ) -> dict[str, Tensor]:
        """Return the signals of responses to a prompt by name: `values`, `attribute_values`, `preferences` or `logps`.

        They are `[K]`, but `[K, A]` of attributes, and `[K, K]` of preferences.
        A user model wants the `user` whose values they are; raises DataError for one it does not know.
        """
        asked = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
        meta = {} if user is None else {"user": user}
        example = Example(asked, [*responses], [0.0] * len(responses), id="0", meta=meta)
        batch = collate(self._rows(example), [0], Extras(users=self.policy.reads_users))
        device = next(self.policy.parameters()).device
        found = self.policy.signals(batch.to(device), NO_REFERENCES, self.policy.provides & SCORES)
        return {name: values[0] for name, values in found.items() if name in SCORES}

    def _rows(self, example: Example) -> TokenRows:
        ends = getattr(getattr(self.policy.model, "generation_config", None), "eos_token_id", None)
        stops = [] if ends is None else [ends] if isinstance(ends, int) else list(ends)
        (tokens,) = Encoder(self.tokenizer, stops)([example])
        numbers = np.arange(len(tokens.responses))
        return TokenRows(
            examples=[example],
            places=np.zeros(1, dtype=np.int64),
            ids=RowIds(_lists([np.frombuffer(example.id.encode(), np.uint8)])),
            prompts=_lists([np.array(tokens.prompt)]),
            responses=_lists([np.array(ids) for ids in tokens.responses]),
            members=_lists([numbers]),
            labels=_lists([np.zeros(len(numbers))]),
            rewards=None,
            weights=np.ones(1),
            highest=np.zeros(1, dtype=np.int64),
        )


SCORES = frozenset({"values", "attribute_values", "preferences", "logps"})
"""The signals by which responses are compared."""


def load_policy(folder: str | Path) -> LoadedPolicy:
    """Load the policy of a `model/` folder: a reward, preference, user or attribute model, or a language model.

    Call the result as `policy("prompt", ["one response", "another"])`. Raises ConfigError for a folder that holds none.
    """
    model, tokenizer = load(path=str(folder))
    if not is_classifier(model):
        return LoadedPolicy(CausalLM(CausalLM.adopt(model, tokenizer)), tokenizer)
    labels, config = model.config.num_labels, model.config
    if known := settings_of(model):
        rated: dict[str, Any] = {"attributes": known["names"], "verbosity": known["verbosity"]}
        rated |= {
            "gate_width": known["width"],
            "gate_layers": known["layers"],
            "temperature": known["temperature"],
        }
        return LoadedPolicy(
            AttributeModel(AttributeModel.adopt(model, tokenizer, **rated), **rated), tokenizer
        )
    if getattr(config, "alignlab_users", None):
        with safe_open(Path(folder) / FILE, "pt") as stored:
            form = "A" if "prototypes" in stored.keys() else "B"  # noqa: SIM118
            prototypes = stored.get_slice("logits").get_shape()[1]
        settings: dict[str, Any] = {"users": None, "form": form, "prototypes": prototypes, "width": labels}
        return LoadedPolicy(UserModel(UserModel.adopt(model, tokenizer, **settings), **settings), tokenizer)
    if (kind := getattr(config, "alignlab_preferences", None)) is not None:
        adopted = PreferenceModel.adopt(model, tokenizer, dimension=labels)
        return LoadedPolicy(PreferenceModel(adopted, dimension=labels, **kind), tokenizer)
    if labels != 1:
        raise ConfigError(
            f"{folder} is a classifier of {labels} labels, and no policy: give the model/ of a run"
        )
    return LoadedPolicy(RewardModel(RewardModel.adopt(model, tokenizer)), tokenizer)


def _lists(parts: Sequence[Array]) -> Lists:
    return Lists(np.concatenate(parts), np.concatenate([[0], np.cumsum([len(part) for part in parts])]))
