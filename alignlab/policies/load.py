"""Trained policies from their folders, to score responses with in one's own code."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

from alignlab.data.batching.batches import Extras, collate, within_budget
from alignlab.data.encoding.token_rows import Array, Lists, RowIds, TokenRows
from alignlab.data.encoding.tokenize import Encoder, Tokens
from alignlab.errors import ConfigError
from alignlab.policies.attribute_gate import settings_of
from alignlab.policies.attribute_model import AttributeModel
from alignlab.policies.causal_lm.model import CausalLM
from alignlab.policies.causal_lm.pretrained import Dtype, load
from alignlab.policies.classifier import Classifier, classes_of
from alignlab.policies.policy import NO_REFERENCES, Policy
from alignlab.policies.preference_model import PreferenceModel
from alignlab.policies.reward_model import RewardModel
from alignlab.policies.sequence_head import is_classifier
from alignlab.policies.user_head import FILE
from alignlab.policies.user_model import UserModel
from alignlab.signals import BASE
from alignlab.types import Batch, Example, Message


@dataclass(frozen=True)
class LoadedPolicy:
    """A trained policy with its tokenizer."""

    policy: Policy
    tokenizer: Any

    def __call__(
        self, prompt: str | list[Message], responses: Sequence[str], *, user: str | None = None
    ) -> dict[str, Tensor]:
        """Return the signals of responses to a prompt by name, as `values`, `preferences` or `logps`.

        They are `[K]`, but `attribute_values [K, A]`, `class_logits [K, C]`, and `preferences [K, K]`.
        A user model wants the `user` whose values they are; raises DataError for one it does not know.
        """
        asked = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
        meta = {} if user is None else {"user": user}
        example = Example(asked, [*responses], [0.0] * len(responses), id="0", meta=meta)
        return self.scores([self.encoder([example])[0]], [example])[0]

    @cached_property
    def encoder(self) -> Encoder:
        """The tokenizer with its chat template, which ends a response where the model ends a turn."""
        ends = getattr(getattr(self.policy.model, "generation_config", None), "eos_token_id", None)
        stops = [] if ends is None else [ends] if isinstance(ends, int) else list(ends)
        return Encoder(self.tokenizer, stops)

    @torch.no_grad()
    def scores(self, tokens: Sequence[Tokens], examples: Sequence[Example]) -> list[dict[str, Tensor]]:
        """Return the signals of lists that `encoder` made of the examples, by name, in few batches."""
        if not tokens:
            return []
        scores: list[dict[str, Tensor]] = [{}] * len(tokens)
        for indices, batch in self.batches(tokens, examples):
            signals = self.policy.signals(batch, NO_REFERENCES, self.policy.provides & SCORES)
            for place, index in enumerate(indices):
                size = len(tokens[index].responses)
                of_list = {name: values[place] for name, values in signals.items() if name in SCORES}
                scores[index] = {
                    name: values[(slice(size),) * BASE[name].shape.count("K")]
                    for name, values in of_list.items()
                }
        return scores

    def batches(
        self, tokens: Sequence[Tokens], examples: Sequence[Example]
    ) -> Iterator[tuple[Sequence[int], Batch]]:
        """Yield lists that `encoder` made of the examples in few batches, with their numbers."""
        rows, extras = _rows(tokens, examples), Extras(users=self.policy.reads_users)
        device = next(self.policy.parameters()).device
        for indices in within_budget(rows, range(len(rows)), AT_ONCE, packed=self.policy.packed):
            yield indices, collate(rows, indices, extras).to(device)


def _rows(tokens: Sequence[Tokens], examples: Sequence[Example]) -> TokenRows:
    """The lists as token rows, whose labels say nothing."""
    responses = [np.array(ids) for each in tokens for ids in each.responses]
    starts = np.cumsum([0, *(len(each.responses) for each in tokens)])
    members = [np.arange(*ends) for ends in pairwise(starts)]
    return TokenRows(
        examples=examples,
        places=np.arange(len(examples)),
        ids=RowIds(_lists([np.frombuffer(example.id.encode(), np.uint8) for example in examples])),
        prompts=_lists([np.array(each.prompt) for each in tokens]),
        responses=_lists(responses),
        members=_lists(members),
        labels=_lists([np.zeros(len(numbers)) for numbers in members]),
        rewards=None,
        weights=np.ones(len(examples)),
        highest=np.zeros(len(examples), dtype=np.int64),
    )


SCORES = frozenset({"values", "attribute_values", "class_logits", "preferences", "logps"})
"""The signals by which responses are compared."""
AT_ONCE = 2**13
"""The number of tokens that are read at once."""


def load_policy(folder: str | Path, *, dtype: Dtype = "float32") -> LoadedPolicy:
    """Load the policy of a `model/` folder: a reward, preference, user or attribute model, a classifier, or a
    language model.

    Call the result as `policy("prompt", ["one response", "another"])`. Raises ConfigError for a folder that holds none.
    """
    model, tokenizer = load(path=str(folder), dtype=dtype)
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
    if classes := classes_of(model):
        return LoadedPolicy(
            Classifier(Classifier.adopt(model, tokenizer, classes=classes), classes=classes), tokenizer
        )
    if labels != 1:
        raise ConfigError(
            f"{folder} is a classifier of {labels} labels, and no policy: give the model/ of a run"
        )
    return LoadedPolicy(RewardModel(RewardModel.adopt(model, tokenizer)), tokenizer)


def _lists(parts: Sequence[Array]) -> Lists:
    return Lists(np.concatenate(parts), np.concatenate([[0], np.cumsum([len(part) for part in parts])]))
