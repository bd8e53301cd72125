"""A causal language model as a policy: exact log-probabilities of the responses of a batch."""

from collections.abc import Collection, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from alignlab.errors import ConfigError, RunError
from alignlab.policies.causal_lm.decoder import decoder_of, unwrapped
from alignlab.policies.causal_lm.features import watched
from alignlab.policies.causal_lm.head import Head
from alignlab.policies.causal_lm.points import points_watched
from alignlab.policies.causal_lm.signals import PROVIDED, Encoded, Encoder, prompt_targets, score
from alignlab.policies.policy import Policy, References
from alignlab.types import Batch, Scores


class CausalLM(Policy):
    """A policy that scores packed batches with a transformers causal LM, whose head runs at response positions only, in
    chunks.
    """

    provides = PROVIDED
    draws = True
    task = "text-generation"
    peft_task = "CAUSAL_LM"

    @classmethod
    def adopt(cls, model: Any, tokenizer: Any) -> Any:
        """Return the language model as it is; raises ConfigError for one without a head over the vocabulary."""
        if unwrapped(model).get_output_embeddings() is None:
            raise ConfigError(
                f"policy=causal_lm needs a language model, and {type(model).__name__} has no head over the vocabulary: "
                "use policy=reward_model, or another model.path"
            )
        return model

    def verify(self) -> None:
        """Raise RunError where the head at response positions does not reproduce the model's own logits."""
        verify_head(self.model)

    @property
    def head(self) -> Head:
        """The map from final hidden states to logits."""
        return Head(self.model, self.temperature)

    def encode(self, batch: Batch, *, prompts: bool = False, features: Collection[str] = ()) -> Encoded:
        """Return hidden states where response tokens are predicted, and of prompt tokens and features if wanted."""
        layout = self.form.lay(batch)
        source_R = layout.source[batch.is_response]
        inside = points_watched(self.model, source_R) if {"points", "ends"} & {*features} else nullcontext()
        with watched(self.model, source_R, features) as read_features, inside as read_points:
            output = decoder_of(self.model)(**layout.inputs, use_cache=False)
        states = output.last_hidden_state.flatten(0, 1)
        prompt_hidden = states[layout.source[prompt_targets(batch)]] if prompts else None
        found = read_features()
        if read_points is not None:
            points, embeddings = read_points()
            found |= {
                "points": points,
                "ends": torch.stack([embeddings, states[source_R].mean(dim=1)], dim=1),
            }
        return Encoded(states[source_R], prompt_hidden, found)

    def forward(
        self,
        batch: Batch,
        *,
        reference: Encoder | None = None,
        others: Sequence[Encoder] = (),
        wanted: Collection[str] = (),
    ) -> Scores:
        """Return log-probabilities of every response, those under live references, and the wanted signals."""
        return score(batch, self, reference, others, wanted, decoupling=self.decoupling)

    def signals(self, batch: Batch, references: References, wanted: Collection[str]) -> dict[str, Tensor]:
        """Return log-probabilities and lengths of every response, and the other signals wanted, by name."""
        first, others = references
        scores: Scores = self(batch, reference=first, others=others, wanted=wanted)
        return scores.signals(batch)


def language_model(policy: Policy, wanted_by: str) -> CausalLM:
    """Return the policy as a language model; raises ConfigError, naming who wants one, for another kind of policy."""
    if not isinstance(policy, CausalLM):
        raise ConfigError(
            f"{wanted_by} goes by the log-probabilities of a language model, and {type(policy).__name__} has none: "
            "use policy=causal_lm, or leave it out"
        )
    return policy


@torch.no_grad()
def verify_head(model: Any) -> None:
    """Compare logits from hidden states with the model's own on a few tokens; raises RunError where they differ."""
    device = next(model.parameters()).device
    tokens = torch.arange(1, 5, device=device)[None, :] % model.config.get_text_config().vocab_size
    whole = model(input_ids=tokens, use_cache=False).logits
    hidden = decoder_of(model)(input_ids=tokens, use_cache=False).last_hidden_state
    gap = (Head(model)(hidden) - whole).abs().max().item()
    if gap > 1e-3 * max(1.0, whole.abs().max().item()):
        raise RunError(
            f"{type(model).__name__}: its head cannot be run at response positions alone (logits differ by {gap:.2g}); "
            "choose a model whose logits are a function of the final hidden state"
        )
